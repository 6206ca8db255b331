#include "agent/tracee/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include "agent/base/scoped_fd.h"
#include "agent/tracee/seized_thread.h"
#include "agent/tracee/session.h"

namespace time_chaos::tracee {
namespace {

constexpr std::chrono::seconds kPatience{30};  // a program on a slow file system

struct Pipe {
  ScopedFd read, write;
};

Result<Pipe> make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{ScopedFd(fds[0]), ScopedFd(fds[1])};
}

// In the child. `go` is read when the parent is ready; execvp's errno goes into `failure`.
[[noreturn]] void become(const std::vector<char*>& arguments, const sigset_t& mask, int go,
                         int failure) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  char byte = 0;
  if (::read(go, &byte, 1) != 1) ::_exit(127);  // the parent is gone already
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execvp(arguments[0], arguments.data());
  const int error = errno;
  (void)!::write(failure, &error, sizeof error);
  ::_exit(127);
}

Status wait_for_exec(SeizedThread& thread, WaitingChild& child) {
  for (;;) {
    TC_TRY(const Stop stop, thread.wait_stop(kPatience));
    switch (stop.kind) {
      case Stop::Kind::kEvent:
        if (stop.event != PTRACE_EVENT_EXEC) break;
        // Delivered before it returns to user mode: the new program stops with nothing executed.
        if (::kill(thread.pid(), SIGSTOP) != 0) return fail_errno("stop the new program");
        return thread.detach();
      case Stop::Kind::kExited:
        TC_CHECK(child.accepted());
        return fail(Exit::kNoTarget, "the command was killed before it began");
      default:
        break;
    }
    TC_CHECK(thread.resume(stop.kind == Stop::Kind::kSignal ? stop.signal : 0));
  }
}

Status wait_stopped(pid_t child) {
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(child), &info, WSTOPPED | WEXITED | WNOWAIT) != 0) {
    if (errno != EINTR) return fail_errno("wait for the new program");
  }
  return {};
}

}  // namespace

Result<WaitingChild> WaitingChild::fork(const std::vector<std::string>& command,
                                        const sigset_t& mask) {
  TC_TRY(Pipe go, make_pipe());
  TC_TRY(Pipe failure, make_pipe());
  std::vector<std::string> copies = command;
  std::vector<char*> arguments;
  arguments.reserve(copies.size() + 1);
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    go.write.reset();
    become(arguments, mask, go.read.get(), failure.write.get());
  }
  return WaitingChild(child, command[0], std::move(go.write), std::move(failure.read));
}

Status WaitingChild::let_go() {
  if (::write(go_.get(), "g", 1) != 1) return fail_errno("start the command");
  return {};
}

// The other end of the pipe is closed by the exec, or when the child ends.
Status WaitingChild::accepted() {
  int error = 0;
  ssize_t bytes = 0;
  while ((bytes = ::read(failure_.get(), &error, sizeof error)) < 0 && errno == EINTR) {
  }
  if (bytes != sizeof error) return {};
  return fail(Exit::kNoTarget, fmt::format("cannot run {}: {}", name_, std::strerror(error)));
}

Result<pid_t> spawn_stopped(const std::vector<std::string>& command, const sigset_t& mask) {
  TC_TRY(WaitingChild child, WaitingChild::fork(command, mask));
  const pid_t pid = child.pid();
  auto done = in_session([&]() -> Status {
    TC_TRY(auto thread, SeizedThread::seize(pid, pid, PTRACE_O_TRACEEXEC));
    TC_CHECK(child.let_go());
    return wait_for_exec(thread, child);
  });
  if (done) done = wait_stopped(pid);
  if (!done) {
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    return fail(done.error());
  }
  return pid;
}

}  // namespace time_chaos::tracee
