// The program under test, run from outside: arguments in; exit status, output and events out.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/live/harness/child.h"

namespace time_chaos::live {

using Arguments = std::vector<std::string>;

// The binary: TIME_CHAOS_BIN of the environment, else the one of this build.
std::string program_path();

struct Outcome {
  ExitStatus status;
  std::string out;
  std::string err;
  Milliseconds took{0};

  // The lines of `out` that are JSON objects.
  [[nodiscard]] std::vector<nlohmann::json> events() const;
  // The first event of that name; null when there is none.
  [[nodiscard]] nlohmann::json event(const std::string& name) const;
  // Everything, for a failure message.
  [[nodiscard]] std::string text() const;
};

// kUnsupported where none can be made, or unshare and nsenter (util-linux) are missing.
Status try_pid_namespace();

struct RunOptions {
  std::vector<std::string> env;
  std::string input;
  Milliseconds timeout{20000};
};

// Runs it to its end; kFailed when it does not end in time (it is killed then).
Result<Outcome> run_program(const Arguments& arguments, const RunOptions& options = {});

// `agent` or `run` in the background.
class Agent {
 public:
  static Result<Agent> start(const Arguments& arguments, const std::vector<std::string>& env = {});
  // By another program, `through`, which is given the agent's command line.
  static Result<Agent> start_through(const Arguments& through, const Arguments& arguments);

  // The next event of that name; others before it are skipped (but kept in `seen`). The error of an
  // agent that ended instead holds its status and what it said.
  Result<nlohmann::json> wait_event(const std::string& name,
                                    Milliseconds timeout = Milliseconds{10000});
  // SIGINT, then its end: recovers its targets.
  Result<Outcome> stop(int signal_number = 2);
  Result<Outcome> wait(Milliseconds timeout = Milliseconds{20000});
  [[nodiscard]] Child& child() { return child_; }

 private:
  explicit Agent(Child child) : child_(std::move(child)) {}
  Child child_;
  std::string seen_;
};

// {"agent", "--pid", "17", ..., "--json", "--engine-syscalls", "off"}: the vDSO engine alone.
Arguments agent_arguments(pid_t pid, const std::string& offset, const Arguments& more = {});
// The same with the ptrace engine.
Arguments traced_arguments(pid_t pid, const std::string& offset, const Arguments& more = {});
// {"recover", "--pid", "17", "--json"}
Arguments recover_arguments(pid_t pid);

}  // namespace time_chaos::live
