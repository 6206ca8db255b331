// The doctor's judgement of one target.
#include <fmt/format.h>
#include <linux/capability.h>

#include <optional>

#include "agent/experiment/doctor_finding.h"

namespace time_chaos::experiment {
namespace {

using targets::Machine;
using targets::TargetFacts;
using targets::VdsoKind;

std::optional<Finding> target_inaccessible(const Machine& machine, const TargetFacts& facts) {
  if (facts.not_targetable) {
    return Finding{"", Verdict::kNo, facts.not_targetable->message(),
                   facts.not_targetable->remedy()};
  }
  if (!facts.not_accessible) return std::nullopt;
  Finding finding{"", Verdict::kNo, facts.not_accessible->message(),
                  facts.not_accessible->remedy()};
  if (facts.not_accessible->kind() != Exit::kNotPermitted) return finding;
  finding.remedy = kBecomeRoot;
  if (machine.yama_scope == 3) {
    finding.why += " (kernel.yama.ptrace_scope is 3)";
    finding.remedy = kYamaReboot;
  } else if (facts.same_user_namespace == false) {
    finding.why += " (it is in a user namespace of its own)";
    finding.remedy = "run as root of the machine, or of the user namespace that holds it";
  } else if (machine.has(CAP_SYS_PTRACE)) {
    finding.why += " although this agent has CAP_SYS_PTRACE";
    finding.remedy = "see whether SELinux, AppArmor or another user namespace protects it";
  } else if (facts.uid != machine.uid) {
    finding.why += fmt::format(" (it runs as uid {}, this agent as {})", facts.uid, machine.uid);
  } else if (machine.yama_scope.value_or(0) > 0) {
    finding.why += fmt::format(" (kernel.yama.ptrace_scope is {})", *machine.yama_scope);
  } else {
    finding.why += " (it has gained privileges or is not dumpable)";
  }
  return finding;
}

std::string filters(const TargetFacts& facts) {
  if (facts.seccomp_filters == 0) return "seccomp filters";
  return fmt::format("{} seccomp filter{}", facts.seccomp_filters,
                     facts.seccomp_filters == 1 ? "" : "s");
}

Finding target_vdso(const TargetFacts& facts) {
  constexpr const char* kOtherEngine = "use the system call engine alone";
  switch (facts.vdso) {
    case VdsoKind::kX86_64:
      break;
    case VdsoKind::kI386:
    case VdsoKind::kX32:
      return {"", Verdict::kNo,
              facts.vdso == VdsoKind::kI386 ? "it is a 32-bit program: its vDSO is not in this "
                                              "version"
                                            : "it is an x32 program: its vDSO is not in this "
                                              "version",
              "use a 64-bit build of the program"};
    case VdsoKind::kAbsent:
      return {"", Verdict::kNo, "it has no vDSO: every clock reading is a system call",
              kOtherEngine};
    case VdsoKind::kOther:
      return {"", Verdict::kNo, "its [vdso] is not an x86-64 image", kOtherEngine};
    case VdsoKind::kUnread:
      return {"", Verdict::kNo, "its [vdso] cannot be read", kBecomeRoot};
  }
  if (facts.seccomp_mode == 1) {
    return {"", Verdict::kNo, "strict seccomp kills it at the first mmap", kOtherEngine};
  }
  if (facts.seccomp_mode != 0) {
    return {"", Verdict::kLimited,
            fmt::format("it has {}: shifted only if they allow the attach's system calls",
                        filters(facts)),
            "--force suspends them during the attach"};
  }
  return {"", Verdict::kWorks, "its memory opens and its vDSO is x86-64", ""};
}

Finding target_ptrace(const TargetFacts& facts) {
  if (facts.vdso == VdsoKind::kI386 || facts.vdso == VdsoKind::kX32) {
    return {"", Verdict::kNo, "32-bit and x32 system calls are not in this version",
            "use a 64-bit build of the program"};
  }
  return {"", Verdict::kWorks, "its memory opens, and nobody else traces it", ""};
}

Finding target_bpf(const TargetFacts& facts) {
  switch (facts.vdso) {
    case VdsoKind::kI386:
    case VdsoKind::kX32:
      return {"", Verdict::kLimited, "its system calls are shifted, its vDSO calls are not",
              "use it with --engine-vdso off"};
    case VdsoKind::kAbsent:
      return {"", Verdict::kWorks, "all its clock readings are system calls", ""};
    default:
      return {"", Verdict::kWorks, "its system calls are shifted in the kernel", ""};
  }
}

}  // namespace

std::vector<Finding> examine(const Machine& machine, const TargetFacts& facts) {
  const auto refused = target_inaccessible(machine, facts);
  return {for_engine(kVdsoDetour, refused ? *refused : target_vdso(facts)),
          for_engine(kSyscallsPtrace, refused ? *refused : target_ptrace(facts)),
          for_engine(kSyscallsBpf, refused ? *refused : target_bpf(facts))};
}

}  // namespace time_chaos::experiment
