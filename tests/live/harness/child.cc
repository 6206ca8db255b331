// fork, exec, poll and pidfds behind Child (see child.h).
#include "tests/live/harness/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace time_chaos::live {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  ScopedFd read;
  ScopedFd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) return fail_errno("pipe2");
  return Pipe{ScopedFd(fds[0]), ScopedFd(fds[1])};
}

// What the child does between fork and exec: only calls that are safe there (signal-safety(7)).
[[noreturn]] void become(pid_t parent, int in, int out, int err, const char* path,
                         char* const* argv, char* const* env) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(126);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::execve(path, argv, env);
  ::_exit(127);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& one : texts) result.push_back(one.data());
  result.push_back(nullptr);
  return result;
}

Milliseconds left(Clock::time_point end) {
  return std::max(Milliseconds{0}, std::chrono::ceil<Milliseconds>(end - Clock::now()));
}

// Reads what is there. False at the end of the file.
bool take(const ScopedFd& fd, std::string& into) {
  std::array<char, 16384> buffer{};
  const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
  if (n > 0) into.append(buffer.data(), static_cast<size_t>(n));
  return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

}  // namespace

std::string text(const ExitStatus& status) {
  return status.signal != 0 ? fmt::format("signal {}", status.signal)
                            : fmt::format("exit code {}", status.code);
}

std::optional<std::string> find_executable(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    return ::access(name.c_str(), X_OK) == 0 ? std::optional(name) : std::nullopt;
  }
  const char* value = ::getenv("PATH");
  std::string path = value == nullptr ? "/usr/bin:/bin" : value;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const std::string candidate = path.substr(begin, end - begin) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return std::nullopt;
}

Result<Child> Child::spawn(const Command& command) {
  const auto path = find_executable(command.argv.at(0));
  if (!path) return fail(Exit::kNoTarget, fmt::format("no program {}", command.argv[0]));
  TC_TRY(Pipe in, make_pipe());
  TC_TRY(Pipe out, make_pipe());
  TC_TRY(Pipe err, make_pipe());
  const ScopedFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null.valid()) return fail_errno("open /dev/null");

  std::vector<std::string> argv = command.argv;
  std::vector<std::string> env;
  for (char** e = environ; *e != nullptr; ++e) env.emplace_back(*e);
  env.insert(env.end(), command.env.begin(), command.env.end());
  const std::vector<char*> argv_pointers = pointers(argv);
  const std::vector<char*> env_pointers = pointers(env);

  TC_TRY(Pipe begun, make_pipe());  // closed by exec
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork");
  if (pid == 0) {
    become(parent, command.with_input ? in.read.get() : null.get(), out.write.get(),
           err.write.get(), path->c_str(), argv_pointers.data(), env_pointers.data());
  }
  Child child;
  child.pid_ = pid;
  // Whoever shifts it at once must not meet what it was before.
  begun.write.reset();
  char none = 0;
  while (::read(begun.read.get(), &none, 1) < 0 && errno == EINTR) {
  }
  // Not reaped yet, so the pid is still the child's. glibc 2.36 has no pidfd_open for C++ here.
  child.pidfd_ = ScopedFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!child.pidfd_.valid()) return fail_errno("pidfd_open");
  if (command.with_input) child.input_ = std::move(in.write);
  child.output_ = std::move(out.read);
  child.errors_ = std::move(err.read);
  return child;
}

Child& Child::operator=(Child&& other) noexcept {
  if (this == &other) return *this;
  kill_and_reap();
  pid_ = std::exchange(other.pid_, 0);
  pidfd_ = std::move(other.pidfd_);
  input_ = std::move(other.input_);
  output_ = std::move(other.output_);
  errors_ = std::move(other.errors_);
  output_text_ = std::move(other.output_text_);
  error_text_ = std::move(other.error_text_);
  ended_ = other.ended_;
  return *this;
}

Child::~Child() {
  kill_and_reap();
}

void Child::kill_and_reap() {
  if (!pidfd_.valid() || ended_) return;
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
  ended_ = ExitStatus{0, SIGKILL};
}

bool Child::reap_if_ended() {
  if (ended_) return true;
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED | WNOHANG) != 0 ||
      info.si_pid == 0) {
    return false;
  }
  ended_ =
      info.si_code == CLD_EXITED ? ExitStatus{info.si_status, 0} : ExitStatus{0, info.si_status};
  return true;
}

bool Child::pump(Milliseconds timeout) {
  std::array<pollfd, 3> fds{};
  fds[0] = {output_.get(), POLLIN, 0};  // a closed one is -1, which poll ignores
  fds[1] = {errors_.get(), POLLIN, 0};
  fds[2] = {ended_ ? -1 : pidfd_.get(), POLLIN, 0};
  if (::poll(fds.data(), fds.size(), static_cast<int>(timeout.count())) <= 0) return false;
  if (fds[0].revents != 0 && !take(output_, output_text_)) output_.reset();
  if (fds[1].revents != 0 && !take(errors_, error_text_)) errors_.reset();
  if (fds[2].revents != 0) reap_if_ended();
  return true;
}

Result<std::string> Child::read_line(Milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  for (;;) {
    if (const size_t newline = output_text_.find('\n'); newline != std::string::npos) {
      std::string line = output_text_.substr(0, newline);
      output_text_.erase(0, newline + 1);
      return line;
    }
    if (!output_.valid()) break;
    if (!pump(left(end)) && left(end).count() == 0) {
      return fail(Exit::kFailed, fmt::format("no line from {} within {} ms; it said \"{}\"", pid_,
                                             timeout.count(), error_text_));
    }
  }
  return fail(Exit::kFailed,
              fmt::format("the output of {} ended ({}); it said \"{}\"", pid_,
                          reap_if_ended() ? text(*ended_) : "it still runs", error_text_));
}

void Child::discard_output() {
  while (output_.valid() && pump(Milliseconds{0})) output_text_.clear();
  output_text_.clear();
}

Status Child::write_line(const std::string& text) {
  const std::string line = text + "\n";
  if (::write(input_.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    return fail_errno(fmt::format("write to {}", pid_));
  }
  return {};
}

Status Child::signal(int number) {
  if (::syscall(SYS_pidfd_send_signal, pidfd_.get(), number, nullptr, 0) != 0) {
    return fail_errno(fmt::format("send signal {} to {}", number, pid_));
  }
  return {};
}

Result<ExitStatus> Child::wait(Milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  while (!reap_if_ended()) {
    if (!pump(left(end)) && left(end).count() == 0) {
      return fail(Exit::kFailed, fmt::format("{} did not end within {} ms", pid_, timeout.count()));
    }
  }
  // What it wrote is still in the pipes; a grandchild may hold them open, so no waiting.
  while ((output_.valid() || errors_.valid()) && pump(Milliseconds{0})) {
  }
  return *ended_;
}

bool Child::running() {
  return !reap_if_ended();
}

}  // namespace time_chaos::live
