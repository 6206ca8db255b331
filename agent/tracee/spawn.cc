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

// In the child. `go` is read when the parent has seized us; execvp's errno goes into `failure`.
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

Status wait_for_exec(SeizedThread& thread, const std::string& name, int failure) {
  for (;;) {
    TC_TRY(const Stop stop, thread.wait_stop(kPatience));
    switch (stop.kind) {
      case Stop::Kind::kEvent:
        if (stop.event != PTRACE_EVENT_EXEC) break;
        // Delivered before it returns to user mode: the new program stops with nothing executed.
        if (::kill(thread.pid(), SIGSTOP) != 0) return fail_errno("stop the new program");
        return thread.detach();
      case Stop::Kind::kExited: {
        int error = 0;
        if (::read(failure, &error, sizeof error) != sizeof error) error = ECHILD;
        return fail(Exit::kNoTarget, fmt::format("cannot run {}: {}", name, std::strerror(error)));
      }
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

Result<pid_t> spawn_stopped(const std::vector<std::string>& command, const sigset_t& mask) {
  TC_TRY(Pipe go, make_pipe());
  TC_TRY(Pipe failure, make_pipe());
  std::vector<std::string> copies = command;
  std::vector<char*> arguments;
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    go.write.reset();
    become(arguments, mask, go.read.get(), failure.write.get());
  }
  failure.write.reset();
  auto done = in_session([&]() -> Status {
    TC_TRY(auto thread, SeizedThread::seize(child, child, PTRACE_O_TRACEEXEC));
    if (::write(go.write.get(), "g", 1) != 1) return fail_errno("start the command");
    return wait_for_exec(thread, command[0], failure.read.get());
  });
  if (done) done = wait_stopped(child);
  if (!done) {
    ::kill(child, SIGKILL);
    while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    return fail(done.error());
  }
  return child;
}

}  // namespace time_chaos::tracee
