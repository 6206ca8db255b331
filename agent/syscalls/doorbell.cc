#include "agent/syscalls/doorbell.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace time_chaos::syscalls {
namespace {

// The child's whole life. It has the tracer's signal mask: only SIGKILL ends it. Nothing here may
// take a lock: other threads of the agent may hold it, and they are not in this copy.
[[noreturn]] void hang_there(pid_t agent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NAME, "tc-doorbell");
  ::syscall(SYS_close_range, 0U, ~0U, 0U);  // the agent's pipes and locks are not to be kept open
  // The agent may have died before it could take this one with it.
  while (::syscall(SYS_getppid) == agent) ::syscall(SYS_ppoll, nullptr, 0, nullptr, nullptr, 0);
  ::_exit(0);
}

}  // namespace

Result<Doorbell> Doorbell::hang() {
  const pid_t agent = ::getpid();
  int pidfd = -1;
  const long pid = ::syscall(SYS_clone, CLONE_PIDFD, nullptr, &pidfd, nullptr, 0);
  if (pid < 0) return fail_errno("start the helper process that wakes the tracer");
  if (pid == 0) hang_there(agent);
  return Doorbell(static_cast<pid_t>(pid), ScopedFd(pidfd));
}

Doorbell& Doorbell::operator=(Doorbell&& other) noexcept {
  if (this == &other) return *this;
  take_down();
  pid_ = other.pid_;
  pidfd_ = std::move(other.pidfd_);
  return *this;
}

void Doorbell::ring() const {
  (void)::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0U);
}

void Doorbell::take_down() {
  if (!pidfd_.valid()) return;  // moved from
  ring();
  siginfo_t info{};
  while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | __WALL) != 0 && errno == EINTR) {
  }
  pidfd_.reset();
}

}  // namespace time_chaos::syscalls
