// Dates: RFC 3339, and seconds since 1970 as date(1) takes them ("@1893456000.25").
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/clock/reading.h"

namespace time_chaos::clock {

// kUsage for what is no date, for a date without a zone, and for those that a clock of the kernel
// cannot show: before 1970 (timespec64_valid_settod, include/linux/time64.h) and after 2262 (64
// bits of nanoseconds). A leap second 23:59:60 is the second behind it, as the kernel shows it.
Result<Reading> parse_date(std::string_view text);

// RFC 3339 in UTC, with as many decimals as it needs: "2030-01-01T00:00:00.25Z".
std::string format_date(Reading reading);

}  // namespace time_chaos::clock
