// Text from the command line: no input may crash the parsers, and what they accept must survive
// being printed and parsed again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/clock/clock_set.h"
#include "agent/clock/duration.h"

using time_chaos::clock::format_duration;
using time_chaos::clock::format_offset;
using time_chaos::clock::parse_clocks;
using time_chaos::clock::parse_duration;

namespace {

void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);

  const auto duration = parse_duration(text);
  if (duration) {
    const auto again = parse_duration(format_duration(*duration));
    check(again && *again == *duration);
    const auto offset = parse_duration(format_offset(*duration));
    check(offset && *offset == *duration);
  } else {
    check(duration.error().line().find('\n') == std::string::npos);
  }

  const auto clocks = parse_clocks(text);
  if (clocks) {
    check(!clocks->empty());
    const auto again = parse_clocks(clocks->text());
    check(again && *again == *clocks);
  } else {
    check(clocks.error().line().find('\n') == std::string::npos);
  }
  return 0;
}
