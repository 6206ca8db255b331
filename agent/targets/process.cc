// Process: a pidfd taken first, then facts, then a look whether the pidfd's process still holds the
// pid. In this order the facts are those of the process that the pidfd means, whatever is reused.
#include "agent/targets/process.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "agent/targets/proc_text.h"

namespace time_chaos::targets {
namespace {

// The system calls by number: glibc 2.36 declares them in a header that clashes with the kernel's.
int pidfd_open(pid_t pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

// False once the process is reaped; a zombie is still there.
bool is_unreaped(int pidfd) {
  return ::syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) == 0 || errno != ESRCH;
}

// pidfd_open(2) refuses a thread's id with EINVAL, since 6.15 with ENOENT: /proc tells which it is.
Error why_not_opened(pid_t pid, int error) {
  const auto status = read_status(pid);
  if (status && status->tgid != pid) {
    return Error(Exit::kNoTarget, fmt::format("{} is a thread of {}", pid, status->tgid),
                 fmt::format("use --pid {}", status->tgid));
  }
  if (error == ESRCH) {
    if (!status) return Error(Exit::kNoTarget, fmt::format("no process {}", pid));
    return Error(Exit::kFailed,
                 fmt::format("/proc shows a process {}, this pid namespace does not "
                             "have it",
                             pid),
                 "mount /proc for this pid namespace");
  }
  return Error::from_errno(error, fmt::format("open process {}", pid));
}

// The process is there, its files are not.
Error why_not_read(pid_t pid, const Error& error) {
  if (error.kind() != Exit::kNoTarget) return error;
  return Error(Exit::kNotPermitted, fmt::format("/proc does not show process {}", pid),
               "run as root, or mount /proc for this pid namespace and without hidepid");
}

}  // namespace

Result<Process> Process::open(pid_t pid) {
  if (pid <= 0) return fail(Exit::kUsage, fmt::format("{} is not a process id", pid));
  Process process;
  process.pid_ = pid;
  process.pidfd_.reset(pidfd_open(pid));
  if (!process.pidfd_.valid()) return fail(why_not_opened(pid, errno));

  const auto stat = read_stat(pid);
  if (!is_unreaped(process.pidfd_.get())) {
    return fail(Exit::kNoTarget, fmt::format("no process {}", pid));
  }
  if (!stat) return fail(why_not_read(pid, stat.error()));
  process.start_time_ = stat->start_time;
  process.name_ = stat->name;
  return process;
}

// A pidfd becomes readable when the last thread has exited, before the process is reaped. The pid
// cannot pass to another process without that, so the start time needs no second look.
bool Process::alive() const {
  pollfd waiting{};
  waiting.fd = pidfd_.get();
  waiting.events = POLLIN;
  int ready = 0;
  do {
    ready = ::poll(&waiting, 1, 0);
  } while (ready < 0 && errno == EINTR);
  return ready == 0;
}

std::string Process::label() const {
  return fmt::format("{} ({})", pid_, printable(name_));
}

}  // namespace time_chaos::targets
