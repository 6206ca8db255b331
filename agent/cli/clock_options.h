// The options that say what clocks are to show, and how their texts become a clock spec.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/clock/clock_spec.h"

namespace time_chaos::cli {

struct ClockOptions {
  // Where the clocks start.
  std::optional<std::string> offset;
  std::optional<std::string> at;
  std::optional<std::string> bump;
  // How they run.
  bool freeze = false;
  std::optional<std::string> rate;
  std::optional<std::string> drift;
  // What happens to them.
  std::optional<std::string> strobe;
  std::optional<std::string> leap_second;
  std::optional<std::string> schedule;
  std::optional<std::string> jitter;
  std::optional<std::string> seed;
  std::optional<std::string> clocks;
  bool allow_monotonic_step = false;

  [[nodiscard]] Result<clock::ClockSpec> parse() const;
  bool operator==(const ClockOptions&) const = default;
};
void add_clocks(CLI::App& app, ClockOptions& clocks);

}  // namespace time_chaos::cli
