#include "agent/clock/quoted.h"

namespace time_chaos::clock {

std::string quoted(std::string_view text) {
  constexpr size_t kLongest = 48;
  std::string out = "\"";
  for (const char c : text.substr(0, kLongest)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? '?' : c;
  }
  out += text.size() > kLongest ? "...\"" : "\"";
  return out;
}

}  // namespace time_chaos::clock
