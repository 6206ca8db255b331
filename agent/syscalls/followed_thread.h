// What is done with any followed thread that is stopped: its memory, and the maps by which it sees
// time.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/error.h"
#include "agent/clock/clock_maps.h"
#include "agent/syscalls/followed.h"

namespace time_chaos::syscalls {

Result<tracee::Memory*> memory_of(FollowedThread& thread);
Status write_memory(FollowedThread& thread, uint64_t address, std::span<const uint8_t> bytes);

// The maps by which this thread's process sees a clock.
Result<clock::ClockMaps> maps_of(const FollowedThread& thread, int clock);

}  // namespace time_chaos::syscalls
