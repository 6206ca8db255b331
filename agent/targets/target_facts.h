// Facts of one target that decide which engines can work on it. Nothing is stopped or written:
// opening /proc/PID/mem asks the kernel the same question as PTRACE_SEIZE (ptrace_may_access with
// PTRACE_MODE_ATTACH, so also Yama, SELinux and AppArmor) and changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "agent/base/error.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {

// kAbsent: none is mapped. kUnread: its memory or its map may not be read. kOther: another
// machine's.
enum class VdsoKind { kX86_64, kI386, kX32, kOther, kAbsent, kUnread };

struct TargetFacts {
  pid_t pid = 0;
  std::string label;                    // "4242 (payments)"
  std::optional<Error> not_targetable;  // what check_targetable said
  std::optional<Error> not_accessible;  // why /proc/PID/mem does not open
  VdsoKind vdso = VdsoKind::kUnread;
  uint32_t uid = 0;                         // effective
  int seccomp_mode = 0;                     // 0 none, 1 strict, 2 filter
  int seccomp_filters = 0;                  // 0 where the kernel does not say
  std::optional<bool> same_user_namespace;  // as ours; nothing where it may not be read
};

// Fails only when the process ends meanwhile or /proc is unreadable.
Result<TargetFacts> read_target_facts(const Process& process, pid_t allowed_tracer = 0);

// From the first 20 bytes of the image: EI_CLASS and e_machine (elf(5)).
VdsoKind vdso_kind(std::span<const uint8_t> header);

}  // namespace time_chaos::targets
