// x86-64, and i386 beside it, as in wait_calls_x86_64.cc. recvmmsg is not here: it writes what is
// left over what it was given, and fails where it cannot, with the messages lost.
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include <algorithm>
#include <array>

#include "agent/tracee/wait_lengths.h"

namespace time_chaos::tracee {
namespace {

constexpr uint64_t kAbsolute = 1;  // TIMER_ABSTIME, TFD_TIMER_ABSTIME
constexpr uint64_t kSemtimedopOfIpc = 4;

enum class Call {
  kNone,
  kNanosleep,
  kClockNanosleep,
  kPoll,
  kPpoll,
  kSelect,
  kPselect,
  kEpollWait,
  kEpollPwait2,
  kFutex,
  kSigtimedwait,
  kSemtimedop,
  kIpc,
  kTimerSet,
  kTimerfdSet,
  kItimerSet,
  kAlarm,
  kSocketSet,
  kTimerGet,
  kTimerfdGet,
  kItimerGet,
  kSocketGet,
};

struct Known {
  int64_t number = 0;
  Call call = Call::kNone;
  bool narrow = false;
};

constexpr std::array kX86_64 = {
    Known{SYS_nanosleep, Call::kNanosleep},
    Known{SYS_clock_nanosleep, Call::kClockNanosleep},
    Known{SYS_poll, Call::kPoll},
    Known{SYS_ppoll, Call::kPpoll},
    Known{SYS_select, Call::kSelect},
    Known{SYS_pselect6, Call::kPselect},
    Known{SYS_epoll_wait, Call::kEpollWait},
    Known{SYS_epoll_pwait, Call::kEpollWait},
    Known{441, Call::kEpollPwait2},  // Linux 5.11
    Known{SYS_futex, Call::kFutex},
    Known{SYS_rt_sigtimedwait, Call::kSigtimedwait},
    Known{SYS_semtimedop, Call::kSemtimedop},
    Known{SYS_timer_settime, Call::kTimerSet},
    Known{SYS_timerfd_settime, Call::kTimerfdSet},
    Known{SYS_setitimer, Call::kItimerSet},
    Known{SYS_alarm, Call::kAlarm},
    Known{SYS_setsockopt, Call::kSocketSet},
    Known{SYS_timer_gettime, Call::kTimerGet},
    Known{SYS_timerfd_gettime, Call::kTimerfdGet},
    Known{SYS_getitimer, Call::kItimerGet},
    Known{SYS_getsockopt, Call::kSocketGet},
};

// arch/x86/entry/syscalls/syscall_32.tbl
constexpr std::array kI386 = {
    Known{162, Call::kNanosleep, true},
    Known{267, Call::kClockNanosleep, true},
    Known{407, Call::kClockNanosleep},
    Known{168, Call::kPoll},
    Known{309, Call::kPpoll, true},
    Known{414, Call::kPpoll},
    Known{142, Call::kSelect, true},
    Known{308, Call::kPselect, true},
    Known{413, Call::kPselect},
    Known{256, Call::kEpollWait},
    Known{319, Call::kEpollWait},
    Known{441, Call::kEpollPwait2},
    Known{240, Call::kFutex, true},
    Known{422, Call::kFutex},
    Known{177, Call::kSigtimedwait, true},
    Known{421, Call::kSigtimedwait},
    Known{420, Call::kSemtimedop},
    Known{117, Call::kIpc, true},
    Known{260, Call::kTimerSet, true},
    Known{409, Call::kTimerSet},
    Known{325, Call::kTimerfdSet, true},
    Known{411, Call::kTimerfdSet},
    Known{104, Call::kItimerSet, true},
    Known{27, Call::kAlarm},
    Known{366, Call::kSocketSet, true},
    Known{261, Call::kTimerGet, true},
    Known{408, Call::kTimerGet},
    Known{326, Call::kTimerfdGet, true},
    Known{410, Call::kTimerfdGet},
    Known{105, Call::kItimerGet, true},
    Known{365, Call::kSocketGet, true},
};

Known find(std::span<const Known> calls, int64_t number) {
  const auto found = std::find_if(calls.begin(), calls.end(),
                                  [&](const Known& one) { return one.number == number; });
  return found == calls.end() ? Known{} : *found;
}

Known known(uint32_t arch, int64_t number) {
  if (arch == AUDIT_ARCH_X86_64) return find(kX86_64, number);
  return arch == AUDIT_ARCH_I386 ? find(kI386, number) : Known{};
}

// Of SO_RCVTIMEO and SO_SNDTIMEO, and their forms with 64 bits for 32-bit programs.
std::optional<Length> of_socket(std::span<const uint64_t> arguments, bool narrow) {
  constexpr int kReceiveNew = 66, kSendNew = 67;
  const auto level = static_cast<int32_t>(arguments[1]), name = static_cast<int32_t>(arguments[2]);
  if (level != SOL_SOCKET) return std::nullopt;
  const bool wide = name == kReceiveNew || name == kSendNew;
  if (!wide && name != SO_RCVTIMEO && name != SO_SNDTIMEO) return std::nullopt;
  Length length{3, Length::Form::kTimeval, narrow && !wide};
  length.clock = CLOCK_MONOTONIC;
  return length;
}

Length of_timer(int argument, Length::Form form, bool narrow, Deadline::Clock source) {
  Length length{argument, form, narrow, true, source};
  if (source == Deadline::Clock::kKnown) length.clock = CLOCK_MONOTONIC;
  return length;
}

LengthCall waiting(int argument, Length::Form form, bool narrow, int clock = CLOCK_MONOTONIC) {
  LengthCall call;
  call.length = {argument, form, narrow};
  call.length.clock = clock;
  call.waits = true;
  return call;
}

LengthCall updating(int argument, Length::Form form, bool narrow) {
  LengthCall call = waiting(argument, form, narrow);
  call.updates = true;
  return call;
}

LengthCall sleeping(int argument, int remainder, bool narrow, int clock) {
  LengthCall call = waiting(argument, Length::Form::kTimespec, narrow, clock);
  call.remainder = remainder;
  return call;
}

LengthCall setting(const Length& length) {
  LengthCall call;
  call.length = length;
  return call;
}

}  // namespace

std::optional<LengthCall> length_of(uint32_t arch, int64_t number,
                                    std::span<const uint64_t> arguments) {
  using Form = Length::Form;
  using Clock = Deadline::Clock;
  const Known call = known(arch, number);
  switch (call.call) {
    case Call::kNanosleep:
      return sleeping(0, 1, call.narrow, CLOCK_MONOTONIC);
    case Call::kClockNanosleep:
      if ((arguments[1] & kAbsolute) != 0) return std::nullopt;
      return sleeping(2, 3, call.narrow, static_cast<int32_t>(arguments[0]));
    case Call::kPoll:
      return waiting(2, Form::kMilliseconds, false);
    case Call::kPpoll:
      return updating(2, Form::kTimespec, call.narrow);
    case Call::kSelect:
      return updating(4, Form::kTimeval, call.narrow);
    case Call::kPselect:
      return updating(4, Form::kTimespec, call.narrow);
    case Call::kEpollWait:
      return waiting(3, Form::kMilliseconds, false);
    case Call::kEpollPwait2:
      return waiting(3, Form::kTimespec, false);
    case Call::kFutex:
      if ((static_cast<uint32_t>(arguments[1]) & FUTEX_CMD_MASK) != FUTEX_WAIT) return std::nullopt;
      return waiting(3, Form::kTimespec, call.narrow);
    case Call::kSigtimedwait:
      return waiting(2, Form::kTimespec, call.narrow);
    case Call::kSemtimedop:
      return waiting(3, Form::kTimespec, call.narrow);
    case Call::kIpc:
      if ((arguments[0] & 0xffff) != kSemtimedopOfIpc) return std::nullopt;
      return waiting(5, Form::kTimespec, call.narrow);
    case Call::kTimerSet:
    case Call::kTimerfdSet:
      if ((arguments[1] & kAbsolute) != 0) return std::nullopt;
      return setting(of_timer(2, Form::kTimespec, call.narrow,
                              call.call == Call::kTimerSet ? Clock::kTimer : Clock::kTimerfd));
    case Call::kItimerSet:
      if (static_cast<int32_t>(arguments[0]) != ITIMER_REAL) return std::nullopt;
      return setting(of_timer(1, Form::kTimeval, call.narrow, Clock::kKnown));
    case Call::kAlarm: {
      LengthCall alarm = waiting(0, Form::kSeconds, false);
      alarm.waits = false;
      return alarm;
    }
    case Call::kSocketSet: {
      const auto length = of_socket(arguments, call.narrow);
      if (!length || arguments[4] < length->size()) return std::nullopt;
      return setting(*length);
    }
    default:
      return std::nullopt;
  }
}

std::optional<Length> reported_by(uint32_t arch, int64_t number,
                                  std::span<const uint64_t> arguments) {
  using Form = Length::Form;
  using Clock = Deadline::Clock;
  const Known call = known(arch, number);
  switch (call.call) {
    case Call::kTimerGet:
      return of_timer(1, Form::kTimespec, call.narrow, Clock::kTimer);
    case Call::kTimerfdGet:
      return of_timer(1, Form::kTimespec, call.narrow, Clock::kTimerfd);
    case Call::kTimerSet:
      return of_timer(3, Form::kTimespec, call.narrow, Clock::kTimer);
    case Call::kTimerfdSet:
      return of_timer(3, Form::kTimespec, call.narrow, Clock::kTimerfd);
    case Call::kItimerGet:
    case Call::kItimerSet:
      if (static_cast<int32_t>(arguments[0]) != ITIMER_REAL) return std::nullopt;
      return of_timer(call.call == Call::kItimerGet ? 1 : 2, Form::kTimeval, call.narrow,
                      Clock::kKnown);
    case Call::kAlarm: {
      Length alarm{0, Form::kSeconds};
      alarm.clock = CLOCK_MONOTONIC;
      return alarm;
    }
    case Call::kSocketGet: {
      auto length = of_socket(arguments, call.narrow);
      if (length) length->room = 4;
      return length;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace time_chaos::tracee
