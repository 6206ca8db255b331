// A JSON list of flat objects, with the lines on which everything stands. The library's own
// documents do not know lines, and an error in a file is of little use without one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::clock {

struct JsonField {
  std::string name;
  size_t line = 0;
  std::variant<std::string, double, bool> value;
};

struct JsonEntry {
  size_t line = 0;
  std::vector<JsonField> fields;
};

// kUsage: `name:3: ...`, where it is something else.
Result<std::vector<JsonEntry>> parse_entries(std::string_view text, const std::string& name);

}  // namespace time_chaos::clock
