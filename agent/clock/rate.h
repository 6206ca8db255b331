// Rates and drifts as users write them, in the maps' fixed point (Q32.32).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace time_chaos::clock {

// "0.5", "2", "-1": times real speed, less than 2^28 either way. 0 is a frozen clock.
Result<int64_t> parse_rate(std::string_view text);
// "200ppm", "-50ppm", "3.5ppb", "1%": how much faster than real time.
Result<int64_t> parse_drift(std::string_view text);

// "frozen", "rate 2", "drift +200ppm" for rates near 1; "" for 1.
std::string rate_words(int64_t rate);
// As a number: 0.5.
double rate_number(int64_t rate);

}  // namespace time_chaos::clock
