// x86-64, and i386 beside it, as in clock_calls_x86_64.cc.
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include "agent/tracee/wait_calls.h"

namespace time_chaos::tracee {
namespace {

// Newer than the headers (futex_wait: Linux 6.7); the same number in all architectures.
constexpr int64_t kNumberFutexWaitv = 449;
constexpr int64_t kNumberFutexWait = 455;
constexpr uint64_t kAbsolute = 1;       // TIMER_ABSTIME, TFD_TIMER_ABSTIME
constexpr uint64_t kFutexLockPi2 = 13;  // Linux 5.14

// arch/x86/entry/syscalls/syscall_32.tbl
namespace i386 {
constexpr int64_t kFutex = 240;
constexpr int64_t kTimerSettime = 260;
constexpr int64_t kClockNanosleep = 267;
constexpr int64_t kMqTimedsend = 279;
constexpr int64_t kMqTimedreceive = 280;
constexpr int64_t kTimerfdSettime = 325;
constexpr int64_t kClockNanosleep64 = 407;
constexpr int64_t kTimerSettime64 = 409;
constexpr int64_t kTimerfdSettime64 = 411;
constexpr int64_t kMqTimedsend64 = 418;
constexpr int64_t kMqTimedreceive64 = 419;
constexpr int64_t kFutex64 = 422;
}  // namespace i386

enum class Call { kNone, kNanosleep, kTimer, kTimerfd, kFutex, kMessageQueue, kWaitv, kFutexWait };

struct Known {
  Call call = Call::kNone;
  bool narrow = false;
};

Known known_x86_64(int64_t number) {
  switch (number) {
    case SYS_clock_nanosleep:
      return {Call::kNanosleep};
    case SYS_timer_settime:
      return {Call::kTimer};
    case SYS_timerfd_settime:
      return {Call::kTimerfd};
    case SYS_futex:
      return {Call::kFutex};
    case SYS_mq_timedsend:
    case SYS_mq_timedreceive:
      return {Call::kMessageQueue};
    case kNumberFutexWaitv:
      return {Call::kWaitv};
    case kNumberFutexWait:
      return {Call::kFutexWait};
    default:
      return {};
  }
}

Known known_i386(int64_t number) {
  switch (number) {
    case i386::kClockNanosleep:
      return {Call::kNanosleep, true};
    case i386::kClockNanosleep64:
      return {Call::kNanosleep};
    case i386::kTimerSettime:
      return {Call::kTimer, true};
    case i386::kTimerSettime64:
      return {Call::kTimer};
    case i386::kTimerfdSettime:
      return {Call::kTimerfd, true};
    case i386::kTimerfdSettime64:
      return {Call::kTimerfd};
    case i386::kFutex:
      return {Call::kFutex, true};
    case i386::kFutex64:
      return {Call::kFutex};
    case i386::kMqTimedsend:
    case i386::kMqTimedreceive:
      return {Call::kMessageQueue, true};
    case i386::kMqTimedsend64:
    case i386::kMqTimedreceive64:
      return {Call::kMessageQueue};
    case kNumberFutexWaitv:
      return {Call::kWaitv};
    case kNumberFutexWait:
      return {Call::kFutexWait};
    default:
      return {};
  }
}

// Clock ids are ints: the kernel ignores the upper half of the register.
int clock_id(uint64_t argument) {
  return static_cast<int32_t>(argument);
}

std::optional<Deadline> of_futex(uint64_t operation, bool narrow) {
  const bool wall = (operation & FUTEX_CLOCK_REALTIME) != 0;
  Deadline deadline;
  deadline.argument = 3;
  deadline.narrow = narrow;
  deadline.clock = wall ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  switch (static_cast<uint32_t>(operation) & FUTEX_CMD_MASK) {
    case FUTEX_LOCK_PI:
      deadline.clock = CLOCK_REALTIME;  // with the flag or without
      return deadline;
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case kFutexLockPi2:
      return deadline;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::optional<Deadline> deadline_of(uint32_t arch, int64_t number,
                                    std::span<const uint64_t> arguments) {
  using Clock = Deadline::Clock;
  if (arch != AUDIT_ARCH_X86_64 && arch != AUDIT_ARCH_I386) return std::nullopt;
  const Known known = arch == AUDIT_ARCH_X86_64 ? known_x86_64(number) : known_i386(number);
  switch (known.call) {
    case Call::kNanosleep:
      if ((arguments[1] & kAbsolute) == 0) return std::nullopt;
      return Deadline{Clock::kKnown, clock_id(arguments[0]), 2, known.narrow, false};
    case Call::kTimer:
    case Call::kTimerfd:
      if ((arguments[1] & kAbsolute) == 0) return std::nullopt;
      return Deadline{known.call == Call::kTimer ? Clock::kTimer : Clock::kTimerfd, -1, 2,
                      known.narrow, true};
    case Call::kFutex:
      return of_futex(arguments[1], known.narrow);
    case Call::kMessageQueue:
      return Deadline{Clock::kKnown, CLOCK_REALTIME, 4, known.narrow, false};
    case Call::kWaitv:
      return Deadline{Clock::kKnown, clock_id(arguments[4]), 3, false, false};
    case Call::kFutexWait:
      return Deadline{Clock::kKnown, clock_id(arguments[5]), 4, false, false};
    case Call::kNone:
      break;
  }
  return std::nullopt;
}

}  // namespace time_chaos::tracee
