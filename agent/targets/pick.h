// Some of several, at random: Chaos Mesh's modes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::targets {

// `mode`: all; one; fixed (`value` of them); fixed-percent (`value` percent, at least one);
// random-max-percent (at random up to `value` percent, at least one). In their order. kUsage for
// what is no mode, and for a value that is missing or not wanted.
Result<std::vector<std::string>> pick(std::vector<std::string> from, const std::string& mode,
                                      const std::optional<std::string>& value);

}  // namespace time_chaos::targets
