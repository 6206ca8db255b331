// Maps with a rate: time that runs faster, slower, backwards or not at all from an anchor on.
#pragma once

#include "agent/clock/reading.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::clock {

// The largest rate the formula takes either way, exclusive (see clock_map.h).
inline constexpr double kRateLimit = 268435456.0;  // 2^28

// Shows `anchor_fake` when the real clock reads `anchor_real`, runs at `rate` from there (1: real
// speed, 0: frozen), never expires. `rate` is rounded to a multiple of 2^-32 and held within
// +-kRateLimit; not-a-number counts as 0: callers check what users typed.
tc_clock_map make_rate_map(Reading anchor_real, Reading anchor_fake, double rate);

// The same with the rate as the map keeps it, Q32.32 (TC_RATE_ONE is 1): |rate| < 2^60.
tc_clock_map make_rate_map_fixed(Reading anchor_real, Reading anchor_fake, int64_t rate);

// How the clock runs in front of the anchor; as behind it if not set.
void set_rate_before(tc_clock_map& map, int64_t rate);

}  // namespace time_chaos::clock
