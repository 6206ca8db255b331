// x86-64, and i386 beside it: a 64-bit kernel runs programs of both, and a program may make calls
// of both.
#include <linux/audit.h>
#include <sys/syscall.h>

#include "agent/tracee/clock_calls.h"

namespace time_chaos::tracee {
namespace {

using Kind = ClockCall::Kind;

// arch/x86/entry/syscalls/syscall_32.tbl: the headers show these to 32-bit programs only.
namespace i386 {
constexpr int64_t kTime = 13;
constexpr int64_t kStime = 25;
constexpr int64_t kGetTimeOfDay = 78;
constexpr int64_t kSetTimeOfDay = 79;
constexpr int64_t kAdjtimex = 124;
constexpr int64_t kClockSetTime = 264;
constexpr int64_t kClockGetTime = 265;
constexpr int64_t kClockAdjTime = 343;
constexpr int64_t kClockGetTime64 = 403;
constexpr int64_t kClockSetTime64 = 404;
constexpr int64_t kClockAdjTime64 = 405;
}  // namespace i386

ClockCall call_of_x86_64(int64_t number) {
  switch (number) {
    case SYS_clock_gettime:
      return {Kind::kGetTime, 1, false};
    case SYS_gettimeofday:
      return {Kind::kGetTimeOfDay, 0, false};
    case SYS_time:
      return {Kind::kTime, 0, false};
    case SYS_clock_settime:
      return {Kind::kSet, 1, false};
    case SYS_settimeofday:
      return {Kind::kSet, 0, false};
    case SYS_adjtimex:
      return {Kind::kAdjust, 0, false};
    case SYS_clock_adjtime:
      return {Kind::kAdjust, 1, false};
    default:
      return {};
  }
}

ClockCall call_of_i386(int64_t number) {
  switch (number) {
    case i386::kClockGetTime:
      return {Kind::kGetTime, 1, true};
    case i386::kClockGetTime64:
      return {Kind::kGetTime, 1, false};
    case i386::kGetTimeOfDay:
      return {Kind::kGetTimeOfDay, 0, true};
    case i386::kTime:
      return {Kind::kTime, 0, true};
    case i386::kClockSetTime:
    case i386::kClockSetTime64:
      return {Kind::kSet, 1, false};
    case i386::kSetTimeOfDay:
    case i386::kStime:
      return {Kind::kSet, 0, false};
    case i386::kAdjtimex:
      return {Kind::kAdjust, 0, false};
    case i386::kClockAdjTime:
    case i386::kClockAdjTime64:
      return {Kind::kAdjust, 1, false};
    default:
      return {};
  }
}

}  // namespace

ClockCall clock_call(uint32_t arch, int64_t number) {
  if (arch == AUDIT_ARCH_X86_64) return call_of_x86_64(number);
  if (arch == AUDIT_ARCH_I386) return call_of_i386(number);
  return {};
}

bool narrow_arguments(uint32_t arch) {
  return arch == AUDIT_ARCH_I386;
}

}  // namespace time_chaos::tracee
