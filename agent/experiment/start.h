// How a command comes to life with shifted clocks. Where ptrace may be used its vDSO is detoured
// before its first instruction. Where not, or where it has no vDSO for us, it becomes a target of
// the BPF engine before its exec, which hides the vDSO from it.
#pragma once

#include <signal.h>

#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/request.h"
#include "agent/experiment/shift.h"
#include "agent/experiment/syscall_side.h"

namespace time_chaos::experiment {

// A child that must not outlive a failure.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  Child& operator=(Child&&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Its status, as waitpid(2) says it.
  int wait();
  void reaped() { pid_ = 0; }

 private:
  pid_t pid_;  // 0: none, or reaped
};

struct StartedCommand {
  Child child;
  PlannedTarget planned;
  Shifted shifted;
  bool stopped = false;  // before its first instruction: it goes on at SIGCONT
};

// `mask`: the signal mask that it gets. A command that cannot be shifted is not started.
Result<StartedCommand> start_command(const std::vector<std::string>& command, const sigset_t& mask,
                                     const ShiftRequest& request, SyscallSide& side);

}  // namespace time_chaos::experiment
