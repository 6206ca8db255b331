// The doctor's judgement of the machine.
#include <fmt/format.h>
#include <linux/capability.h>

#include "agent/experiment/doctor_finding.h"

namespace time_chaos::experiment {
namespace {

using targets::Lockdown;
using targets::Machine;

Finding ptrace_refused(const Machine& machine, const Error& error) {
  Finding finding{"", Verdict::kNo, "tracing a child of our own failed: " + error.message(),
                  error.remedy()};
  if (machine.yama_scope == 3) {
    finding.remedy = kYamaReboot;
  } else if (machine.yama_scope == 2 && !machine.has(CAP_SYS_PTRACE)) {
    finding.remedy = kBecomeRoot;
  } else if (machine.seccomp_mode != 0) {
    finding.why += " (this agent is under a seccomp filter, which may be the cause)";
    finding.remedy = "allow ptrace in the container's seccomp profile and add SYS_PTRACE";
  }
  return finding;
}

// A child could be traced; what of others?
Finding ptrace_reach(const Machine& machine) {
  if (!machine.proc_matches) {
    return {"", Verdict::kLimited, "/proc shows the processes of another pid namespace",
            "mount the /proc of this pid namespace"};
  }
  if (!machine.has(CAP_SYS_PTRACE)) {
    const bool children_only = machine.yama_scope.value_or(0) > 0;
    return {"", Verdict::kLimited,
            children_only
                ? fmt::format("without CAP_SYS_PTRACE and with kernel.yama.ptrace_scope "
                              "= {} only processes that this agent starts",
                              *machine.yama_scope)
                : fmt::format("without CAP_SYS_PTRACE only processes of uid {}", machine.uid),
            kBecomeRoot};
  }
  if (!machine.initial_user_namespace) {
    return {"", Verdict::kLimited, "capabilities reach only processes of this user namespace",
            "run the agent in the machine's own user namespace"};
  }
  return {"", Verdict::kWorks,
          machine.initial_pid_namespace ? "a child was traced; every process may be"
                                        : "a child was traced; every process of this pid "
                                          "namespace may be",
          ""};
}

Finding machine_ptrace(const Machine& machine, const TryPtrace& try_ptrace) {
  if (const Status tried = try_ptrace(); !tried) return ptrace_refused(machine, tried.error());
  return ptrace_reach(machine);
}

Finding machine_vdso(const Machine& machine, Finding ptrace) {
  if (machine.architecture != "x86_64") {
    return {"", Verdict::kNo, machine.architecture + " is not in this version, only x86_64", ""};
  }
  if (!machine.vdso) {
    return {"", Verdict::kNo, "this kernel maps no vDSO (started with vdso=0?): nothing to detour",
            "every clock reading is a system call here; use the system call engine alone"};
  }
  // Opening /proc/PID/map_files/... wants either, in the initial user namespace (fs/proc/base.c).
  const bool map_files = machine.initial_user_namespace &&
                         (machine.has(CAP_CHECKPOINT_RESTORE) || machine.has(CAP_SYS_ADMIN));
  if (ptrace.verdict != Verdict::kNo && !map_files) {
    ptrace.why += "; without CAP_CHECKPOINT_RESTORE the clock page is writable in the target";
  }
  return ptrace;
}

Finding machine_bpf(const Machine& machine, const TryBpf& try_bpf) {
  const auto trial = try_bpf();
  if (!trial) {
    Finding finding{"", Verdict::kNo, trial.error().message(), trial.error().remedy()};
    if (machine.lockdown == Lockdown::kUnknown) {
      finding.why += " (lockdown unknown: securityfs is not mounted)";
    }
    return finding;
  }
  Finding finding{"", Verdict::kWorks, "it was loaded: " + trial->hooks, ""};
  if (trial->lossy) finding.verdict = Verdict::kLimited;
  if (!trial->no_time.empty()) {
    finding.why += "; raw time() calls are not shifted";
    finding.details.push_back("time(): " + trial->no_time);
  }
  if (!trial->no_guard.empty()) {
    finding.why += "; targets may set the machine's clock";
    finding.details.push_back("guard: " + trial->no_guard);
  }
  if (!trial->no_waits.empty()) {
    finding.why += "; waits end in real time";
    finding.details.push_back("waits: " + trial->no_waits);
  } else {
    if (!trial->no_left.empty()) {
      finding.why += "; what is left of waits may be real";
      finding.details.push_back("left of waits: " + trial->no_left);
    }
    finding.details.emplace_back(
        "waits: lengths in registers (poll, epoll_wait, alarm) stay real at any rate");
  }
  if (!trial->no_pins.empty()) finding.details.push_back("--detach: " + trial->no_pins);
  for (const std::string& refused : trial->refused) {
    finding.details.push_back("refused: " + refused);
  }
  return finding;
}

}  // namespace

std::vector<Finding> examine(const Machine& machine, const TryPtrace& try_ptrace,
                             const TryBpf& try_bpf) {
  const Finding ptrace = machine_ptrace(machine, try_ptrace);
  return {for_engine(kVdsoDetour, machine_vdso(machine, ptrace)),
          for_engine(kSyscallsPtrace, ptrace),
          for_engine(kSyscallsBpf, machine_bpf(machine, try_bpf))};
}

}  // namespace time_chaos::experiment
