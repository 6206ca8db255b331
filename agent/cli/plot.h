// The drawing of a plan, as wide as the terminal.
#pragma once

#include <optional>
#include <string>

#include "agent/clock/plot.h"

namespace time_chaos::cli {

// Of the first clock of the spec. No span: as much as it takes to see what happens.
clock::PlotRequest plot_request(const clock::ClockSpec& spec, const clock::MapPlan& plan,
                                const clock::HostReadings& now,
                                std::optional<std::chrono::nanoseconds> span);
std::string plot_text(const clock::PlotRequest& request);

}  // namespace time_chaos::cli
