// Shifts a worker through the agent's own rooms, without the program around them.
#pragma once

#include <sys/types.h>

#include <string>

#include "agent/base/error.h"
#include "agent/vdso/attach.h"
#include "agent/vdso/recover.h"

namespace time_chaos::bench {

// All clocks an hour ahead, by an offset or at a rate of 1.5 from there on.
clock::ClockMaps offset_maps();
clock::ClockMaps rate_maps();

// Uses what an earlier recover() left mapped, if it did.
Result<vdso::AttachReport> attach(pid_t pid, vdso::Detour detour, const clock::ClockMaps& maps);
// Also puts monotonic clocks back: a worker does not mind.
Status recover(pid_t pid);
Status publish(pid_t pid, const clock::ClockMaps& maps);

// Would every function be patched by one byte in this process? It depends on where the kernel put
// its mappings.
Result<bool> all_one_byte(pid_t pid);

}  // namespace time_chaos::bench
