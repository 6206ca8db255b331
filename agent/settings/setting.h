// What an option is set to by something else than the command line.
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::settings {

struct Setting {
  std::string key;                  // the option without its dashes: "offset"
  std::vector<std::string> values;  // one, but for options that can be given again and again
  std::string place;                // "clock.yaml line 3", "TIME_CHAOS_OFFSET"
  bool operator==(const Setting&) const = default;
};
using Settings = std::vector<Setting>;

// A file of `key: value` lines: YAML, and so JSON as well. A value is one scalar or a list of them;
// what is null is not set. `name` stands in errors, which are kUsage.
Result<Settings> parse_settings(const std::string& text, const std::string& name);

// The same of a file; `path` "-" is not special.
Result<std::string> read_settings_file(const std::string& path);

}  // namespace time_chaos::settings
