// A child of ours, stopped before its first instruction, or waiting before its exec.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::tracee {

// Forks and executes `command` (found by PATH). When this returns, the new program is loaded and
// has executed nothing; its process is stopped by SIGSTOP, no longer traced, and goes on at
// SIGCONT. It gets the signal mask `mask`, and is killed if this process dies (it could stay
// stopped for ever otherwise). kNoTarget, with the reason, when the command cannot be executed.
Result<pid_t> spawn_stopped(const std::vector<std::string>& command, const sigset_t& mask);

// The same without ptrace: the child waits before its exec, still in a copy of our memory, and is
// not stopped behind it. Whoever forks it reaps it; one that is not told to execute ends by itself.
class WaitingChild {
 public:
  static Result<WaitingChild> fork(const std::vector<std::string>& command, const sigset_t& mask);
  [[nodiscard]] pid_t pid() const { return pid_; }
  // It executes its command from here on.
  Status let_go();
  // Returns when the kernel has begun to load the new program. kNoTarget, with the reason, when it
  // cannot be executed; then the child has ended.
  Status accepted();

 private:
  WaitingChild(pid_t pid, std::string name, ScopedFd go, ScopedFd failure)
      : pid_(pid), name_(std::move(name)), go_(std::move(go)), failure_(std::move(failure)) {}

  pid_t pid_;
  std::string name_;
  ScopedFd go_;
  ScopedFd failure_;
};

}  // namespace time_chaos::tracee
