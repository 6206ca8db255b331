// Where in the kernel the BPF programs sit. Every way sees the exit of the clock system calls; what
// tells them apart is whether they lose readings under load, and what they cost others:
//  - function exits (fexit) are skipped while another task is preempted inside the same program on
//    the same processor: only for kernels that do not preempt. They cost other calls nothing.
//  - the tracepoint sys_exit runs with preemption switched off until 7.2, and costs every system
//    call of the machine some 15 to 35 %.
//  - return probes (kretprobe.multi) lose nothing since 6.16, and cost other calls nothing. Before,
//    and as plain kretprobes, they run out of instances without a word.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/syscalls/bpf_kernel.h"

namespace time_chaos::syscalls {

enum class ExitHook { kReturnProbe, kFunctionExit, kTracepoint };
std::string_view name(ExitHook hook);  // "kretprobe.multi", "fexit", "sys_exit tracepoint"

struct Hooks {
  ExitHook exit = ExitHook::kTracepoint;
  // The functions that serve 32-bit calls as well; a kernel without IA32_EMULATION has none.
  bool ia32 = true;
  // Births and exec are seen by probes of kernel functions instead of tracepoints.
  bool probes = false;
  std::string why;
  bool lossy = false;  // readings may be lost under load
};

inline constexpr KernelVersion kOldestKernel{5, 10};

// The best first, then what to try where the kernel refuses that. Empty below kOldestKernel.
std::vector<Hooks> choose_hooks(const KernelFacts& kernel);

}  // namespace time_chaos::syscalls
