// From what a target's clock will show to when that is.
#pragma once

#include "agent/clock/clock_maps.h"

namespace time_chaos::syscalls {

// The host's clock with that id now, as the kernel keeps its deadlines.
clock::Reading read_host(int clock);

// The first real reading from now on at which the target's clock `clock` (0 to 11) shows `shown` or
// more; the last that a clock has if none is in sight. Never before the first second: the kernel
// refuses such times, and what lies behind is over.
clock::Reading real_time_of(const clock::ClockMaps& maps, int clock, clock::Reading shown);

}  // namespace time_chaos::syscalls
