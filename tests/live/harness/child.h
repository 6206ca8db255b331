// A process that a test started: its pipes, and its certain end.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::live {

using Milliseconds = std::chrono::milliseconds;

// How a process ended: by exit (signal == 0) or by a signal.
struct ExitStatus {
  int code = 0;
  int signal = 0;
  bool operator==(const ExitStatus&) const = default;
};
std::string text(const ExitStatus& status);

struct Command {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH when it holds no slash
  std::vector<std::string> env;   // "NAME=value", added to the test's own
  bool with_input = false;        // standard input is a pipe, else /dev/null
};

// A running child with its standard output and error captured. When the test's thread dies, the
// child dies (PR_SET_PDEATHSIG); when this object goes, the child is killed through its pidfd and
// reaped, so that no test leaves anything behind or hits a reused pid.
class Child {
 public:
  static Result<Child> spawn(const Command& command);
  Child(Child&& other) noexcept = default;
  Child& operator=(Child&& other) noexcept;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  // The next line of standard output, without its newline. kFailed at the end of the output or
  // after `timeout`; the message holds what standard error said.
  Result<std::string> read_line(Milliseconds timeout);
  // Throws away the output that has arrived up to now.
  void discard_output();
  Status write_line(const std::string& text);
  void close_input() { input_.reset(); }
  Status signal(int number);
  // Its end; both outputs are read meanwhile, so that it cannot block on a full pipe.
  Result<ExitStatus> wait(Milliseconds timeout);
  [[nodiscard]] bool running();
  // All output that no read_line() has taken, and all of standard error, so far.
  [[nodiscard]] const std::string& unread_output() const { return output_text_; }
  [[nodiscard]] const std::string& error_text() const { return error_text_; }

 private:
  Child() = default;
  // Waits at most `timeout` for output or for the end; false when nothing came.
  bool pump(Milliseconds timeout);
  bool reap_if_ended();
  void kill_and_reap();

  pid_t pid_ = 0;
  ScopedFd pidfd_;
  ScopedFd input_;
  ScopedFd output_;
  ScopedFd errors_;
  std::string output_text_;
  std::string error_text_;
  std::optional<ExitStatus> ended_;
};

// The executable `name` in PATH.
std::optional<std::string> find_executable(const std::string& name);

}  // namespace time_chaos::live
