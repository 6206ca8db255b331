// Waits in flight of targets that BPF shifts: when they began, their ends were mapped by the maps
// in force then, or not at all. Where ptrace may stop their threads, they begin anew and are mapped
// by the maps in force now. Where it may not they end as they would have. The ptrace engine sees to
// those of its own targets.
#pragma once

#include <sys/types.h>

#include "agent/experiment/carrier.h"

namespace time_chaos::experiment {

// Of a target in that place.
void begin_waits_anew(pid_t pid, const std::optional<BpfPlace>& place);
// Of a carrier and all that share its page: that was changed.
void begin_waits_anew(const Carrier& carrier);

}  // namespace time_chaos::experiment
