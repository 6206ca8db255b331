// What is done with any followed thread that is stopped: its memory, and the maps by which it sees
// time.
#pragma once

#include <cstdint>
#include <span>

#include "agent/base/error.h"
#include "agent/clock/clock_maps.h"
#include "agent/syscalls/followed.h"
#include "agent/tracee/wait_calls.h"

namespace time_chaos::syscalls {

Result<tracee::Memory*> memory_of(FollowedThread& thread);
Status write_memory(FollowedThread& thread, uint64_t address, std::span<const uint8_t> bytes);

// The maps by which this thread's process sees a clock.
Result<clock::ClockMaps> maps_of(const FollowedThread& thread, int clock);

// Which clock keeps the time of a call: what the call names or, for a timer or a timerfd, the one
// that it was made with. -1: there is no such timer.
int clock_of_call(const FollowedThread& thread, tracee::Deadline::Clock source, int clock,
                  uint64_t first_argument);

}  // namespace time_chaos::syscalls
