// A ptrace session: all requests of one operation come from one thread of ours, which exists for
// that purpose alone.
//
// A tracer is a thread, not a process, and when it ends the kernel detaches from all its tracees
// without stopping them (kernel/ptrace.c, exit_ptrace). PTRACE_DETACH needs the tracee stopped. So
// a thread of the target that was only seized (to lock out other tracers, or because /proc/PID/mem
// is writable for tracers only) is let go here without ever having been interrupted.
#pragma once

#include <sys/prctl.h>
#include <sys/resource.h>

#include <optional>
#include <thread>
#include <utility>

namespace time_chaos::tracee {

// Threads of the target wait for us: on a busy machine we should not wait for our turn, and a sleep
// of 20 microseconds should not take 70, as it does with the usual timer slack. Of the calling
// thread alone; where it is not permitted (CAP_SYS_NICE), nothing is lost.
inline void hurry() {
  ::setpriority(PRIO_PROCESS, 0, -20);
  ::prctl(PR_SET_TIMERSLACK, 1);
}

template <typename Operation>
auto in_session(Operation&& operation) {
  std::optional<decltype(operation())> result;
  std::thread tracer([&] {
    hurry();
    result.emplace(operation());
  });
  tracer.join();
  return std::move(*result);
}

}  // namespace time_chaos::tracee
