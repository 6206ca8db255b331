// Attaches one program to many functions of the kernel, at their entry or their return.
#pragma once

#include <bpf/libbpf.h>

#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "agent/syscalls/bpf_kernel.h"
#include "agent/syscalls/bpf_load.h"

namespace time_chaos::syscalls {

inline constexpr KernelVersion kMultiProbes{6, 12};   // one link for many functions
inline constexpr KernelVersion kLinkedProbes{5, 15};  // a link for each

struct Probe {
  const bpf_program* program;
  std::vector<const char*> functions;
  bool at_return = false;
};

Result<std::vector<BpfLink>> attach_to(const Probe& probe, KernelVersion kernel);

// A copy with a higher number than `least`.
Result<ScopedFd> above(int fd, int least);

}  // namespace time_chaos::syscalls
