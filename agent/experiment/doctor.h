// What this machine, and a target, allow: engine by engine, with the reason and the remedy. Judges
// facts that were read or tried; changes nothing but what `try_ptrace` does. Prints nothing.
#pragma once

#include <sys/types.h>

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/syscalls/try_bpf.h"
#include "agent/targets/machine.h"
#include "agent/targets/target_facts.h"

namespace time_chaos::experiment {

enum class Verdict { kWorks, kLimited, kNo };
std::string_view name(Verdict verdict);  // "works", "limited", "no"

inline constexpr std::string_view kVdsoDetour = "vdso detour";
inline constexpr std::string_view kSyscallsPtrace = "syscalls: ptrace";
inline constexpr std::string_view kSyscallsBpf = "syscalls: bpf";

struct Finding {
  std::string engine;  // one of the three above
  Verdict verdict = Verdict::kNo;
  std::string why;
  std::string remedy;                     // empty where there is nothing to do
  std::vector<std::string> details = {};  // for who wants to know more
};

struct TargetDiagnosis {
  pid_t pid = 0;
  std::string label;  // "4242 (payments)"; the pid alone for a process that is not there
  std::vector<Finding> findings;
};

struct Diagnosis {
  std::vector<Finding> machine;
  std::vector<TargetDiagnosis> targets;
};

// Seizes a process that the agent forked for it, lets it go, and says how that went. Passed in,
// because only agent/tracee traces.
using TryPtrace = std::function<Status()>;
// Loads the BPF engine, without targets, and lets it go.
using TryBpf = std::function<Result<syscalls::BpfTrial>()>;

// One finding an engine, in the order above.
std::vector<Finding> examine(const targets::Machine& machine, const TryPtrace& try_ptrace,
                             const TryBpf& try_bpf);
std::vector<Finding> examine(const targets::Machine& machine, const targets::TargetFacts& facts);
// Both, for processes by pid. What the machine refuses altogether is refused for every target.
Diagnosis examine(const targets::Machine& machine, const TryPtrace& try_ptrace,
                  const TryBpf& try_bpf, std::span<const pid_t> pids);

}  // namespace time_chaos::experiment
