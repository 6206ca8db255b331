// What can never be a target, said before anything is touched.
#include <fmt/format.h>
#include <unistd.h>

#include "agent/targets/namespaces.h"
#include "agent/targets/proc_text.h"
#include "agent/targets/process.h"
#include "agent/targets/starting.h"

namespace time_chaos::targets {
namespace {

// Who sees the initial namespace as its own sees the machine's init as pid 1; from any other
// namespace that init has no pid. An unreadable namespace counts as the initial one: refuse.
bool is_machine_init(pid_t pid) {
  if (pid != 1) return false;
  return namespace_inode("self", "pid").value_or(kInitialPidNamespace) == kInitialPidNamespace;
}

// TracerPid is a thread's id (ptrace_parent, fs/proc/array.c): the process it belongs to.
ProcStatus tracing_process(pid_t tracer) {
  ProcStatus unknown;
  unknown.tgid = tracer;
  unknown.name = "a process that has just ended";
  const ProcStatus thread = read_status(tracer).value_or(unknown);
  return thread.tgid == tracer ? thread : read_status(thread.tgid).value_or(thread);
}

Status refuse_tracer(const Process& process, pid_t tracer, pid_t allowed_tracer) {
  if (tracer == 0) return {};
  const ProcStatus owner = tracing_process(tracer);
  if (owner.tgid == allowed_tracer) return {};
  return fail(Error(Exit::kNotPermitted,
                    fmt::format("already traced by {} (pid {})", printable(owner.name), owner.tgid),
                    "detach it and try again")
                  .because_of("cannot shift " + process.label()));
}

// A tracer may hold any subset of the threads.
Status check_untraced(const Process& process, pid_t allowed_tracer) {
  for (const pid_t tid : list_threads(process.pid())) {
    const auto status = read_thread_status(process.pid(), tid);
    if (!status && status.error().kind() == Exit::kNoTarget) continue;  // a thread ended
    TC_CHECK(status);
    TC_CHECK(refuse_tracer(process, status->tracer, allowed_tracer));
  }
  return {};
}

// Also true of a process whose main thread alone has exited (pthread_exit in main): the kernel
// shows it as a zombie without memory although its other threads run.
Status refuse_dead_leader(const Process& process, const ProcStatus& status) {
  if (process.alive()) {
    return fail(Exit::kUnsupported,
                process.label() +
                    " runs on without its main thread, which has exited: /proc no "
                    "longer shows its memory",
                "keep the main thread in the program, for example in pthread_join");
  }
  return fail(Exit::kNoTarget,
              fmt::format("{} is a zombie: it has exited and waits to be reaped by its parent {}",
                          process.label(), status.parent),
              "start the program again and shift the new process");
}

}  // namespace

Status check_targetable(const Process& process, pid_t allowed_tracer) {
  if (process.pid() == ::getpid()) {
    return fail(Exit::kUsage, process.label() + " is this agent, which cannot shift itself",
                "name another process");
  }
  if (is_machine_init(process.pid())) {
    return fail(Exit::kNotPermitted, process.label() + " is the machine's own init",
                "a container's pid 1 may be shifted, this one may not");
  }
  const auto stat = read_stat(process.pid());
  const auto status = read_status(process.pid());
  if (!process.alive() && !(status && status->state == 'Z')) {
    return fail(Exit::kNoTarget, process.label() + " has exited",
                "start the program again and shift the new process");
  }
  TC_CHECK(stat);
  TC_CHECK(status);
  if (stat->kernel_thread) {
    return fail(Exit::kUnsupported,
                process.label() + " is a kernel thread and has no clock of its own",
                "name a process that runs a program");
  }
  if (status->state == 'Z' || status->state == 'X') return refuse_dead_leader(process, *status);
  if (is_container_init(process.pid())) {
    return fail(Exit::kFailed,
                process.label() + " is still the container runtime, which makes a container",
                "wait for the container's program, for example with --container ID --wait 30s");
  }
  return check_untraced(process, allowed_tracer);
}

}  // namespace time_chaos::targets
