// Durations as Go writes them: "-10m100ns", "1h30m", "1.5h"; and "d" for 24 hours.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace time_chaos::clock {

// Go's time.ParseDuration grammar ([-+]?([0-9]*(\.[0-9]*)?[a-z]+)+, units ns us µs μs ms s m h) and
// d. "0" needs no unit. kUsage, naming the text and what is wrong with it, for anything else:
// empty, no unit, unknown unit, two signs, more than int64 nanoseconds (about 292 years).
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);

// Go's String() without the parts that are zero: "-1h30m", "1h", "1.5s", "250ms", "0s". Parses back
// to the same value, in Go too: hours are the largest unit, and microseconds are "us".
std::string format_duration(std::chrono::nanoseconds duration);

// With a sign in front always: "+1h", "-1ns", "+0s".
std::string format_offset(std::chrono::nanoseconds duration);

}  // namespace time_chaos::clock
