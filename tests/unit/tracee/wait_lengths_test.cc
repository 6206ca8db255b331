// Which calls wait for a length of time, and where it is; and those that do not.
#include "agent/tracee/wait_lengths.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <array>

namespace time_chaos::tracee {
namespace {

using Arguments = std::array<uint64_t, 6>;
using Form = Length::Form;

std::optional<LengthCall> of(int64_t number, const Arguments& arguments = {},
                             uint32_t arch = AUDIT_ARCH_X86_64) {
  return length_of(arch, number, arguments);
}

TEST(WaitLengths, AreFoundInEveryForm) {
  EXPECT_EQ(of(SYS_nanosleep)->length.argument, 0);
  EXPECT_EQ(of(SYS_nanosleep)->remainder, 1);
  EXPECT_EQ(of(SYS_poll)->length.form, Form::kMilliseconds);
  EXPECT_EQ(of(SYS_select)->length.form, Form::kTimeval);
  EXPECT_TRUE(of(SYS_select)->updates);
  EXPECT_TRUE(of(SYS_ppoll)->updates);
  EXPECT_FALSE(of(SYS_poll)->updates);
  EXPECT_EQ(of(SYS_epoll_pwait)->length.argument, 3);
  EXPECT_FALSE(of(SYS_timerfd_settime)->waits);
  EXPECT_TRUE(of(SYS_timerfd_settime)->length.setting);
  EXPECT_EQ(of(SYS_alarm)->length.form, Form::kSeconds);
  EXPECT_TRUE(of(309, {}, AUDIT_ARCH_I386)->length.narrow) << "ppoll";
  EXPECT_FALSE(of(414, {}, AUDIT_ARCH_I386)->length.narrow) << "ppoll_time64";
  EXPECT_EQ(of(117, {4}, AUDIT_ARCH_I386)->length.argument, 5) << "ipc(SEMTIMEDOP)";
  EXPECT_FALSE(of(117, {1}, AUDIT_ARCH_I386)) << "ipc(SEMOP)";
}

TEST(WaitLengths, OfTheWallClockAreMonotonic) {
  EXPECT_EQ(of(SYS_clock_nanosleep, {CLOCK_REALTIME})->length.clock, CLOCK_REALTIME);
  EXPECT_EQ(of(SYS_clock_nanosleep, {CLOCK_BOOTTIME})->length.clock, CLOCK_BOOTTIME);
}

TEST(WaitLengths, AreNoneForATimeOrAnotherClock) {
  EXPECT_FALSE(of(SYS_clock_nanosleep, {CLOCK_MONOTONIC, TIMER_ABSTIME}));
  EXPECT_FALSE(of(SYS_timer_settime, {0, TIMER_ABSTIME}));
  EXPECT_TRUE(of(SYS_futex, {0, FUTEX_WAIT | FUTEX_PRIVATE_FLAG}));
  EXPECT_FALSE(of(SYS_futex, {0, FUTEX_WAIT_BITSET}));
  EXPECT_TRUE(of(SYS_setitimer, {ITIMER_REAL}));
  EXPECT_FALSE(of(SYS_setitimer, {ITIMER_PROF}));
  EXPECT_TRUE(of(SYS_setsockopt, {3, SOL_SOCKET, SO_RCVTIMEO, 0, sizeof(timeval)}));
  EXPECT_FALSE(of(SYS_setsockopt, {3, SOL_SOCKET, SO_RCVTIMEO, 0, 8}));
  EXPECT_FALSE(of(SYS_setsockopt, {3, SOL_SOCKET, SO_RCVBUF, 0, 4}));
  EXPECT_FALSE(of(SYS_read));
}

TEST(WaitLengths, AreReportedByTimersAndSockets) {
  const auto reported = [](int64_t number, const Arguments& arguments) {
    return reported_by(AUDIT_ARCH_X86_64, number, arguments);
  };
  EXPECT_EQ(reported(SYS_timerfd_gettime, {})->argument, 1);
  EXPECT_EQ(reported(SYS_timerfd_settime, {})->argument, 3);
  EXPECT_EQ(reported(SYS_setitimer, {ITIMER_REAL})->argument, 2);
  EXPECT_FALSE(reported(SYS_setitimer, {ITIMER_PROF}));
  EXPECT_TRUE(reported(SYS_getsockopt, {3, SOL_SOCKET, SO_SNDTIMEO}));
  EXPECT_FALSE(reported(SYS_nanosleep, {}));
}

}  // namespace
}  // namespace time_chaos::tracee
