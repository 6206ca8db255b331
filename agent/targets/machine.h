// Facts of this machine, and of this agent on it, that decide which engines can work. Reading them
// changes nothing and judges nothing: experiment/doctor does the judging.
#pragma once

#include <linux/capability.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace time_chaos::targets {

// kernel_lockdown(7). kAbsent: this kernel has none. kUnknown: securityfs is not mounted here, or
// its text is none we know.
enum class Lockdown { kAbsent, kNone, kIntegrity, kConfidentiality, kUnknown };

struct Machine {
  std::string kernel_release;  // "6.1.0-18-amd64"
  std::string architecture;    // "x86_64"
  uint64_t effective_capabilities = 0;
  uint32_t uid = 0;               // effective
  std::optional<int> yama_scope;  // kernel.yama.ptrace_scope, 0..3; nothing where Yama is absent
  Lockdown lockdown = Lockdown::kUnknown;
  bool btf = false;   // /sys/kernel/btf/vmlinux
  bool vdso = false;  // the kernel maps one into this agent; not with vdso=0
  bool initial_pid_namespace = false;
  bool initial_user_namespace = false;  // elsewhere capabilities reach this namespace only
  bool proc_matches = false;            // /proc shows the pids of our own namespace
  int seccomp_mode = 0;                 // of the agent: 0 none, 1 strict, 2 filter

  // `capability`: CAP_SYS_PTRACE (19), CAP_SYS_ADMIN (21), CAP_PERFMON (38), CAP_BPF (39),
  // CAP_CHECKPOINT_RESTORE (40), ...
  [[nodiscard]] bool has(int capability) const {
    return (effective_capabilities >> capability & 1) != 0;
  }
};

Result<Machine> read_machine();

// "none [integrity] confidentiality": the one in brackets.
Lockdown parse_lockdown(std::string_view text);
std::string_view name(Lockdown lockdown);

}  // namespace time_chaos::targets
