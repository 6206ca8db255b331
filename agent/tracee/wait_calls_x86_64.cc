// x86-64, and i386 beside it, as in clock_calls_x86_64.cc.
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "agent/tracee/wait_calls.h"

namespace time_chaos::tracee {
namespace {

// Newer than the headers (futex_wait: Linux 6.7); the same number in all architectures.
constexpr int64_t kNumberFutexWaitv = 449;
constexpr int64_t kNumberFutexWait = 455;
constexpr uint64_t kAbsolute = 1;       // TIMER_ABSTIME, TFD_TIMER_ABSTIME
constexpr uint64_t kFutexLockPi2 = 13;  // Linux 5.14

enum class Call { kNone, kNanosleep, kTimer, kTimerfd, kFutex, kMessageQueue, kWaitv, kFutexWait };

struct Known {
  int64_t number = 0;
  Call call = Call::kNone;
  bool narrow = false;
};

constexpr std::array kX86_64 = {
    Known{SYS_clock_nanosleep, Call::kNanosleep}, Known{SYS_timer_settime, Call::kTimer},
    Known{SYS_timerfd_settime, Call::kTimerfd},   Known{SYS_futex, Call::kFutex},
    Known{SYS_mq_timedsend, Call::kMessageQueue}, Known{SYS_mq_timedreceive, Call::kMessageQueue},
    Known{kNumberFutexWaitv, Call::kWaitv},       Known{kNumberFutexWait, Call::kFutexWait},
};

// arch/x86/entry/syscalls/syscall_32.tbl: the older calls have 32-bit fields.
constexpr std::array kI386 = {
    Known{267, Call::kNanosleep, true},
    Known{407, Call::kNanosleep},
    Known{260, Call::kTimer, true},
    Known{409, Call::kTimer},
    Known{325, Call::kTimerfd, true},
    Known{411, Call::kTimerfd},
    Known{240, Call::kFutex, true},
    Known{422, Call::kFutex},
    Known{279, Call::kMessageQueue, true},  // mq_timedsend
    Known{418, Call::kMessageQueue},
    Known{280, Call::kMessageQueue, true},  // mq_timedreceive
    Known{419, Call::kMessageQueue},
    Known{kNumberFutexWaitv, Call::kWaitv},
    Known{kNumberFutexWait, Call::kFutexWait},
};

Known known(std::span<const Known> calls, int64_t number) {
  const auto found = std::find_if(calls.begin(), calls.end(),
                                  [&](const Known& one) { return one.number == number; });
  return found == calls.end() ? Known{} : *found;
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
  const Known call = arch == AUDIT_ARCH_X86_64 ? known(kX86_64, number) : known(kI386, number);
  switch (call.call) {
    case Call::kNanosleep:
      if ((arguments[1] & kAbsolute) == 0) return std::nullopt;
      return Deadline{Clock::kKnown, clock_id(arguments[0]), 2, call.narrow, false};
    case Call::kTimer:
    case Call::kTimerfd:
      if ((arguments[1] & kAbsolute) == 0) return std::nullopt;
      return Deadline{call.call == Call::kTimer ? Clock::kTimer : Clock::kTimerfd, -1, 2,
                      call.narrow, true};
    case Call::kFutex:
      return of_futex(arguments[1], call.narrow);
    case Call::kMessageQueue:
      return Deadline{Clock::kKnown, CLOCK_REALTIME, 4, call.narrow, false};
    case Call::kWaitv:
      return Deadline{Clock::kKnown, clock_id(arguments[4]), 3, false, false};
    case Call::kFutexWait:
      return Deadline{Clock::kKnown, clock_id(arguments[5]), 4, false, false};
    case Call::kNone:
      break;
  }
  return std::nullopt;
}

bool changes_timer(uint32_t arch, int64_t number) {
  if (arch == AUDIT_ARCH_X86_64) return number == SYS_timer_settime || number == SYS_timer_delete;
  return arch == AUDIT_ARCH_I386 && (number == 260 || number == 409 || number == 263);
}

int64_t timer_settime_number(bool narrow) {
  return narrow ? 409 : int64_t{SYS_timer_settime};
}

}  // namespace time_chaos::tracee
