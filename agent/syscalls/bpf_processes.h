// Processes as the BPF programs know them: by their id in the initial pid namespace and their start
// time in the initial time namespace.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "agent/base/error.h"
#include "time_chaos/abi/bpf_state.h"

namespace time_chaos::syscalls {

struct KernelProcess {
  pid_t pid = 0;      // in our pid namespace
  uint32_t tgid = 0;  // in the initial one
  // Between which two its start time lies: equal, or a clock tick apart.
  uint64_t started_first = 0;
  uint64_t started_last = 0;
};

// Of a process that is held by a pidfd or is a child of ours: it cannot become another meanwhile.
// Where we are in the initial namespaces, /proc says it; elsewhere an iterator program asks the
// kernel.
Result<KernelProcess> kernel_process(pid_t pid);

// Every process that our pid namespace shows.
Result<std::vector<KernelProcess>> kernel_processes();

}  // namespace time_chaos::syscalls
