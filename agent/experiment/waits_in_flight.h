// Waits in flight of targets that BPF shifts: when they began, their ends were mapped by the maps
// in force then, or not at all. Where ptrace may stop their threads, they begin anew and are mapped
// by the maps in force now. Where it may not they end as they would have. Timerfds are set anew
// without a stop. The ptrace engine sees to those of its own targets.
#pragma once

#include <sys/types.h>

#include "agent/clock/clock_maps.h"
#include "agent/experiment/carrier.h"

namespace time_chaos::experiment {

// By which ends are mapped there, to be asked before a change; identity where there is no place.
clock::ClockMaps maps_in_force(const std::optional<BpfPlace>& place);

// Of a target in that place.
void begin_waits_anew(pid_t pid, const std::optional<BpfPlace>& place);
// Of all in that place, whose maps were these `before`.
void set_timerfds_anew(const std::optional<BpfPlace>& place, const clock::ClockMaps& before);
// Both, of a carrier and all that share its page: that was changed.
void begin_waits_anew(const Carrier& carrier, const clock::ClockMaps& before);

}  // namespace time_chaos::experiment
