// Durations for people: Go's String() without the parts that are zero (1h, not 1h0m0s).
#include <fmt/format.h>

#include <cstdint>

#include "agent/clock/duration.h"

namespace time_chaos::clock {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;

// value / unit with as many decimals as it needs; `width` is how many zeros `unit` has.
std::string decimal(uint64_t value, uint64_t unit, int width) {
  std::string text = fmt::format("{}", value / unit);
  if (value % unit != 0) {
    text += fmt::format(".{:0{}}", value % unit, width);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text;
}

std::string format_magnitude(uint64_t ns) {
  if (ns == 0) return "0s";
  if (ns < 1'000) return fmt::format("{}ns", ns);
  if (ns < 1'000'000) return decimal(ns, 1'000, 3) + "us";
  if (ns < kSecond) return decimal(ns, 1'000'000, 6) + "ms";
  std::string text;
  const uint64_t hours = ns / (3600 * kSecond);
  const uint64_t minutes = ns / (60 * kSecond) % 60;
  const uint64_t below = ns % (60 * kSecond);
  if (hours != 0) text += fmt::format("{}h", hours);
  if (minutes != 0) text += fmt::format("{}m", minutes);
  if (below != 0) text += decimal(below, kSecond, 9) + "s";
  return text;
}

// int64's minimum has a magnitude too.
uint64_t magnitude(std::chrono::nanoseconds duration) {
  const auto bits = static_cast<uint64_t>(duration.count());
  return duration.count() < 0 ? 0 - bits : bits;
}

}  // namespace

std::string format_duration(std::chrono::nanoseconds duration) {
  const char* sign = duration.count() < 0 ? "-" : "";
  return fmt::format("{}{}", sign, format_magnitude(magnitude(duration)));
}

std::string format_offset(std::chrono::nanoseconds duration) {
  const char* sign = duration.count() < 0 ? "-" : "+";
  return fmt::format("{}{}", sign, format_magnitude(magnitude(duration)));
}

}  // namespace time_chaos::clock
