// Which system call does what with a clock.
#include "agent/tracee/clock_calls.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <sys/syscall.h>

namespace time_chaos::tracee {
namespace {

using Kind = ClockCall::Kind;

Kind kind(uint32_t arch, int64_t number) {
  return clock_call(arch, number).kind;
}

TEST(ClockCalls, NumbersMeanWhatTheyMeanInTheirArchitecture) {
  EXPECT_EQ(kind(AUDIT_ARCH_X86_64, SYS_clock_gettime), Kind::kGetTime);
  EXPECT_EQ(kind(AUDIT_ARCH_X86_64, SYS_gettimeofday), Kind::kGetTimeOfDay);
  EXPECT_EQ(kind(AUDIT_ARCH_X86_64, SYS_time), Kind::kTime);
  EXPECT_EQ(kind(AUDIT_ARCH_X86_64, SYS_clock_settime), Kind::kSet);
  EXPECT_EQ(kind(AUDIT_ARCH_X86_64, SYS_adjtimex), Kind::kAdjust);
  EXPECT_EQ(kind(AUDIT_ARCH_X86_64, SYS_getpid), Kind::kNone);
  EXPECT_EQ(kind(AUDIT_ARCH_X86_64, -1), Kind::kNone);
  // 13 is rt_sigaction for 64-bit programs, 228 fsetxattr for 32-bit ones.
  EXPECT_EQ(kind(AUDIT_ARCH_X86_64, 13), Kind::kNone);
  EXPECT_EQ(kind(AUDIT_ARCH_I386, 13), Kind::kTime);
  EXPECT_EQ(kind(AUDIT_ARCH_I386, 228), Kind::kNone);
  EXPECT_EQ(kind(AUDIT_ARCH_AARCH64, SYS_clock_gettime), Kind::kNone);
}

TEST(ClockCalls, OnlyTheOldCallsOf32BitProgramsHaveNarrowData) {
  EXPECT_TRUE(clock_call(AUDIT_ARCH_I386, 265).narrow_data);
  EXPECT_FALSE(clock_call(AUDIT_ARCH_I386, 403).narrow_data);
  EXPECT_FALSE(clock_call(AUDIT_ARCH_X86_64, SYS_clock_gettime).narrow_data);
  EXPECT_TRUE(narrow_arguments(AUDIT_ARCH_I386));
  EXPECT_FALSE(narrow_arguments(AUDIT_ARCH_X86_64));
}

}  // namespace
}  // namespace time_chaos::tracee
