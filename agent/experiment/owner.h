// Who made an experiment: written into the clock page, read by whoever finds it.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>

#include "time_chaos/abi/clock_page.h"

namespace time_chaos::experiment {

// This process, as the owner. Detached experiments have none.
void sign(tc_clock_page& page);
void unsign(tc_clock_page& page);

// The agent that owns the page, if it still lives and runs in our pid namespace.
std::optional<pid_t> living_owner(const tc_clock_page& page);

// Its agent was killed: it had one, in our pid namespace, which lives no more. One that we cannot
// see lives.
bool abandoned(const tc_clock_page& page);

// To the agent that follows a target's system calls: its maps were changed, waits in flight have to
// begin anew. A signal that does nothing to a process that does not know it.
inline constexpr int kChangedSignal = SIGURG;
void tell_owner(const tc_clock_page& page);

}  // namespace time_chaos::experiment
