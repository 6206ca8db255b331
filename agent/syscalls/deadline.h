// From what a target's clock will show to when that is.
#pragma once

#include <cstdint>

#include "agent/clock/clock_maps.h"

namespace time_chaos::syscalls {

// The host's clock with that id now, as the kernel keeps its deadlines.
clock::Reading read_host(int clock);

// The first real reading from now on at which the target's clock `clock` (0 to 11) shows `shown` or
// more; the last that a clock has if none is in sight. Never before the first second: the kernel
// refuses such times, and what lies behind is over.
clock::Reading real_time_of(const clock::ClockMaps& maps, int clock, clock::Reading shown);

// How long a wait of `shown` nanoseconds takes that begins when the clock reads `now`. What is
// positive stays it; TC_ENDLESS if no end is in sight.
int64_t real_length_of(const clock::ClockMaps& maps, int clock, clock::Reading now, int64_t shown);
// And how much of the target's time is left where so much real time is.
int64_t shown_length_of(const clock::ClockMaps& maps, int clock, clock::Reading now, int64_t real);

// Lengths pass in the target's time otherwise than in real time.
bool changes_lengths(const clock::ClockMaps& maps, int clock);

}  // namespace time_chaos::syscalls
