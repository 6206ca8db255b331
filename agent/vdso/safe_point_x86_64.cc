// x86-64: the system calls in which a thread waits at a safe point.
#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <iterator>

#include "agent/vdso/safe_point.h"

namespace time_chaos::vdso {
namespace {

constexpr int64_t kEpollPwait2 = 441;
constexpr int64_t kEvents[] = {
    SYS_poll,       SYS_ppoll,       SYS_select,        SYS_pselect6,
    SYS_epoll_wait, SYS_epoll_pwait, SYS_accept,        SYS_accept4,
    SYS_wait4,      SYS_waitid,      SYS_pause,         kEpollPwait2,
    SYS_recvmsg,    SYS_recvfrom,    SYS_rt_sigsuspend, SYS_rt_sigtimedwait,
};

}  // namespace

std::optional<Wait> wait_of(int64_t call, uint64_t second_argument) {
  if (std::find(std::begin(kEvents), std::end(kEvents), call) != std::end(kEvents)) {
    return Wait::kEvent;
  }
  switch (call) {
    case SYS_read:
      return Wait::kRead;
    // What goes on by restart_syscall had a timeout: no lock has.
    case SYS_restart_syscall:
    case SYS_nanosleep:
    case SYS_clock_nanosleep:
      return Wait::kSleep;
    case SYS_futex: {
      // glibc's locks wait by FUTEX_WAIT (nptl/lowlevellock.c), conditions, semaphores and joins by
      // this (nptl/futex-internal.c).
      constexpr uint64_t kFlags = FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME;
      if ((second_argument & ~kFlags) == FUTEX_WAIT_BITSET) return Wait::kCondition;
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

}  // namespace time_chaos::vdso
