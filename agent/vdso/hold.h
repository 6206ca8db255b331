// The lock on a target: one agent at a time changes it.
//
// A flock(2) on its pidfd. It holds across namespaces and containers, leaves no file behind, ends
// with the agent, and the target does not notice it. Where pidfds have no inode of their own
// (before Linux 6.9) all agents of the machine wait for each other, for some milliseconds.
#pragma once

#include <sys/types.h>

#include <functional>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "agent/tracee/memory.h"
#include "agent/vdso/run_stub.h"

namespace time_chaos::vdso {

class Hold {
 public:
  // Waits for another agent for a moment; kFailed if it does not finish.
  static Result<Hold> take(pid_t pid);

  [[nodiscard]] pid_t pid() const { return pid_; }

  // Sends the best thread through the job's stub; another one if that ends first. The thread is
  // on its own again afterwards. Inside tracee::in_session().
  Result<StubRun> run(tracee::Memory& memory, const StubJob& job) const;

  // What of that is foreseen to be refused. Only a thread under a seccomp filter is stopped for it:
  // a filter can be read in no other way.
  Status rehearse(tracee::Memory& memory, const StubJob& job) const;

  // Writes that need a tracer (proc_mem.force_override): tried as they are, then, if they fail,
  // with one thread stopped, by PTRACE_POKEDATA. Inside tracee::in_session().
  Status write(tracee::Memory& memory, const std::function<Status()>& writes) const;

 private:
  Hold(pid_t pid, ScopedFd lock) : pid_(pid), lock_(std::move(lock)) {}
  pid_t pid_;
  ScopedFd lock_;
};

}  // namespace time_chaos::vdso
