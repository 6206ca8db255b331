// Starts a command that is shifted from its first instruction on: what `time-chaos run` does.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/request.h"
#include "agent/experiment/shift.h"
#include "agent/experiment/syscall_side.h"

namespace time_chaos::experiment {

// How the command ended, as waitpid(2) says it.
struct Ended {
  int wait_status = 0;
  // Programs that it, or a child of it, executed and that could not be shifted.
  uint64_t escaped_programs = 0;
  // Children that live on and could not be given back their own clock.
  std::vector<Error> not_recovered;
};

// The command runs in the foreground: it keeps the terminal, and signals that ask us to end are
// passed on to it. `started` hears of the shift before the command's first instruction, or, without
// ptrace, just after it. A command that cannot be shifted is not started. Children that outlive it
// are recovered when it has ended. kNoTarget when there is no such command.
Result<Ended> launch(const ShiftRequest& request, const std::vector<std::string>& command,
                     const std::function<void(const Shifted&, const SyscallChoice&)>& started);

}  // namespace time_chaos::experiment
