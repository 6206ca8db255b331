// Who made an experiment: written into the clock page, read by whoever finds it.
#pragma once

#include <sys/types.h>

#include <optional>

#include "time_chaos/abi/clock_page.h"

namespace time_chaos::experiment {

// This process, as the owner. Detached experiments have none.
void sign(tc_clock_page& page);
void unsign(tc_clock_page& page);

// The agent that owns the page, if it still lives and runs in our pid namespace.
std::optional<pid_t> living_owner(const tc_clock_page& page);

}  // namespace time_chaos::experiment
