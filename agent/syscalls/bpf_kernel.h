// Facts of the kernel that decide which hooks lose no reading.
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace time_chaos::syscalls {

struct KernelVersion {
  int major = 0;
  int minor = 0;
  auto operator<=>(const KernelVersion&) const = default;  // NOLINT(modernize-use-nullptr)
};

enum class Preemption {
  kNone,      // "none" and "voluntary": a task in the kernel is never preempted
  kPossible,  // "lazy", "full", real-time
  kUnknown,
};

struct KernelFacts {
  KernelVersion version;
  Preemption preemption = Preemption::kUnknown;
  std::string preemption_source;  // "voluntary (/sys/kernel/debug/sched/preempt)"
};

Result<KernelFacts> read_kernel_facts();

// "6.1.0-18-amd64".
Result<KernelVersion> parse_release(std::string_view release);
// The mode in parentheses: "none voluntary (full)"; empty where there is none.
std::string_view chosen_mode(std::string_view text);
// "preempt=full" on the kernel's command line; empty where it says nothing.
std::string_view boot_mode(std::string_view command_line);
// "none", "voluntary", "lazy", "full".
Preemption preemption_of(std::string_view mode);

}  // namespace time_chaos::syscalls
