// Schedules as users write them: a JSON list of what clocks do from when on (README, "A schedule").
#pragma once

#include <string>
#include <string_view>

#include "agent/base/error.h"
#include "agent/clock/schedule.h"

namespace time_chaos::clock {

// kUsage, with the line and the field: `name:3: "rate": ...`.
Result<Schedule> parse_schedule(std::string_view text, const std::string& name);

// The same from a file.
Result<Schedule> read_schedule(const std::string& path);

}  // namespace time_chaos::clock
