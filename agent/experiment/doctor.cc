#include "agent/experiment/doctor.h"

namespace time_chaos::experiment {

std::string_view name(Verdict verdict) {
  switch (verdict) {
    case Verdict::kWorks:
      return "works";
    case Verdict::kLimited:
      return "limited";
    case Verdict::kNo:
      break;
  }
  return "no";
}

Diagnosis examine(const targets::Machine& machine, const TryPtrace& try_ptrace,
                  const TryBpf& try_bpf, std::span<const pid_t> pids) {
  Diagnosis diagnosis{examine(machine, try_ptrace, try_bpf), {}};
  for (const pid_t pid : pids) {
    TargetDiagnosis& target = diagnosis.targets.emplace_back();
    target.pid = pid;
    target.label = std::to_string(pid);
    const auto process = targets::Process::open(pid);
    const auto facts = process ? targets::read_target_facts(*process)
                               : Result<targets::TargetFacts>(fail(process.error()));
    if (!facts) {
      for (const auto engine : {kVdsoDetour, kSyscallsPtrace, kSyscallsBpf}) {
        target.findings.push_back(
            {std::string(engine), Verdict::kNo, facts.error().message(), facts.error().remedy()});
      }
      continue;
    }
    target.label = facts->label;
    target.findings = examine(machine, *facts);
    for (size_t i = 0; i < target.findings.size(); ++i) {
      const bool machine_refuses = diagnosis.machine[i].verdict == Verdict::kNo;
      if (machine_refuses && target.findings[i].verdict != Verdict::kNo) {
        target.findings[i] = diagnosis.machine[i];
      }
    }
  }
  return diagnosis;
}

}  // namespace time_chaos::experiment
