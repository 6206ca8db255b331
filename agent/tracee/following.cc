#include "agent/tracee/following.h"

#include <fmt/format.h>
#include <linux/kcmp.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace time_chaos::tracee {
namespace {

Result<std::optional<pid_t>> report(int flags) {
  siginfo_t info{};
  flags |= WSTOPPED | WEXITED | WNOWAIT | __WALL | __WNOTHREAD;
  while (::waitid(P_ALL, 0, &info, flags) != 0) {
    if (errno == EINTR) continue;
    if (errno == ECHILD) return fail(Exit::kNoTarget, "no thread is followed");
    return fail_errno("wait for the followed threads");
  }
  return info.si_pid == 0 ? std::nullopt : std::optional<pid_t>(info.si_pid);
}

void take(pid_t tid, int what) {
  siginfo_t info{};
  (void)::waitid(P_PID, static_cast<id_t>(tid), &info, what | WNOHANG | __WALL | __WNOTHREAD);
}

}  // namespace

uint64_t follow_options() {
  return PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC;
}

Event event_of(const Stop& stop) {
  switch (stop.event) {
    case PTRACE_EVENT_CLONE:
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_VFORK:
      return Event::kNewTask;
    case PTRACE_EVENT_EXEC:
      return Event::kExec;
    default:
      return Event::kOther;
  }
}

Result<SyscallStop> read_syscall_stop(const SeizedThread& stopped) {
  __ptrace_syscall_info info{};
  if (::ptrace(PTRACE_GET_SYSCALL_INFO, stopped.tid(), sizeof info, &info) < 0) {
    return fail_errno(fmt::format("system call of thread {}", stopped.tid()));
  }
  SyscallStop stop;
  stop.arch = info.arch;
  stop.instruction_pointer = info.instruction_pointer;
  if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
    stop.phase = SyscallStop::Phase::kEntry;
    stop.number = static_cast<int64_t>(info.entry.nr);
    std::copy(std::begin(info.entry.args), std::end(info.entry.args), std::begin(stop.arguments));
  }
  if (info.op == PTRACE_SYSCALL_INFO_EXIT) stop.phase = SyscallStop::Phase::kExit;
  return stop;
}

Result<pid_t> wait_any() {
  TC_TRY(const auto tid, report(0));
  return tid.value_or(0);
}

Result<std::optional<pid_t>> poll_any() {
  return report(WNOHANG);
}

bool share_memory(pid_t one, pid_t other) {
  return ::syscall(SYS_kcmp, one, other, KCMP_VM, 0, 0) <= 0;
}

void take_event(pid_t tid) {
  take(tid, WSTOPPED);
}

void reap(pid_t tid) {
  take(tid, WEXITED);
}

}  // namespace time_chaos::tracee
