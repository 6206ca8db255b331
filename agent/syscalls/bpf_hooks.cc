#include "agent/syscalls/bpf_hooks.h"

#include <fmt/format.h>

namespace time_chaos::syscalls {
namespace {

constexpr KernelVersion kFunctionExits{6, 1};    // with the registers' types in its BTF
constexpr KernelVersion kReturnProbes{6, 16};    // that lose nothing
constexpr KernelVersion kPreemptedTraces{7, 2};  // tracepoints run with preemption

void add(std::vector<Hooks>& list, Hooks hooks) {
  list.push_back(hooks);
  if (hooks.exit == ExitHook::kTracepoint) return;  // it sees 32-bit calls anyhow
  hooks.ia32 = false;
  list.push_back(hooks);
}

}  // namespace

std::string_view name(ExitHook hook) {
  switch (hook) {
    case ExitHook::kReturnProbe:
      return "kretprobe.multi";
    case ExitHook::kFunctionExit:
      return "fexit";
    case ExitHook::kTracepoint:
      break;
  }
  return "sys_exit tracepoint";
}

std::vector<Hooks> choose_hooks(const KernelFacts& kernel) {
  std::vector<Hooks> list;
  if (kernel.version < kOldestKernel) return list;
  const bool probes = kernel.version >= kReturnProbes;
  const std::string mode = kernel.preemption_source.empty()
                               ? "how this kernel preempts is not known"
                               : kernel.preemption_source;
  if (probes) add(list, {ExitHook::kReturnProbe, true, true, "lose nothing since 6.16", false});
  if (kernel.version >= kFunctionExits && kernel.preemption == Preemption::kNone) {
    add(list, {ExitHook::kFunctionExit, true, probes,
               fmt::format("lose nothing while the kernel does not preempt: {}", mode), false});
  }
  const bool preempted =
      kernel.version >= kPreemptedTraces && kernel.preemption != Preemption::kNone;
  add(list, {ExitHook::kTracepoint, true, probes,
             preempted ? fmt::format("loses readings under load since 7.2: {}", mode)
                       : fmt::format("loses nothing before 7.2, whatever the preemption: {}", mode),
             preempted});
  return list;
}

}  // namespace time_chaos::syscalls
