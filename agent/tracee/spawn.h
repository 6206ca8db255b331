// A child of ours, stopped before its first instruction.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::tracee {

// Forks and executes `command` (found by PATH). When this returns, the new program is loaded and
// has executed nothing; its process is stopped by SIGSTOP, no longer traced, and goes on at
// SIGCONT. It gets the signal mask `mask`, and is killed if this process dies (it could stay
// stopped for ever otherwise). kNoTarget, with the reason, when the command cannot be executed.
Result<pid_t> spawn_stopped(const std::vector<std::string>& command, const sigset_t& mask);

}  // namespace time_chaos::tracee
