// The system call side of a running experiment: the ptrace engine on targets that are shifted.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/syscalls/ptrace_engine.h"

namespace time_chaos::experiment {

// Follows all threads of `pids`, whose clock pages say by how much; calls from inside a detoured
// vDSO are left to the detour.
Result<std::unique_ptr<syscalls::PtraceEngine>> follow(const std::vector<pid_t>& pids);

}  // namespace time_chaos::experiment
