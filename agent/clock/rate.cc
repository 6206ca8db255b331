#include "agent/clock/rate.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "agent/clock/quoted.h"
#include "agent/clock/rate_map.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::clock {
namespace {

// All of `text` as a decimal number: digits, a point, a sign.
std::optional<double> number(std::string_view text) {
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(value)) return std::nullopt;
  return value;
}

std::string shortest(double value) {
  std::string text = fmt::format("{:.9f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

int64_t fixed(double rate) {
  return std::llround(std::ldexp(rate, 32));
}

}  // namespace

Result<int64_t> parse_rate(std::string_view text) {
  const auto rate = number(text);
  if (!rate) {
    return fail(Exit::kUsage, "bad rate " + quoted(text), "write a number: 2, 0.5, 0 for frozen");
  }
  if (std::fabs(*rate) >= kRateLimit) {
    return fail(Exit::kUsage, "the rate " + quoted(text) + " is too large",
                fmt::format("use less than {:.0f}", kRateLimit));
  }
  return fixed(*rate);
}

Result<int64_t> parse_drift(std::string_view text) {
  struct Unit {
    std::string_view name;
    double parts;
  };
  constexpr Unit kUnits[] = {{"ppm", 1e6}, {"ppb", 1e9}, {"%", 1e2}};
  for (const Unit& unit : kUnits) {
    if (text.size() <= unit.name.size() ||
        text.substr(text.size() - unit.name.size()) != unit.name) {
      continue;
    }
    const auto parts = number(text.substr(0, text.size() - unit.name.size()));
    if (!parts) break;
    const double rate = 1 + *parts / unit.parts;
    if (std::fabs(rate) >= kRateLimit) {
      return fail(Exit::kUsage, "the drift " + quoted(text) + " is too large",
                  "use --rate for a clock that runs at another speed");
    }
    return fixed(rate);
  }
  return fail(Exit::kUsage, "bad drift " + quoted(text), "write it like 200ppm, -50ppm or 0.1%");
}

std::string rate_words(int64_t rate) {
  if (rate == TC_RATE_ONE) return "";
  if (rate == 0) return "frozen";
  const double parts = (rate_number(rate) - 1) * 1e6;
  if (std::fabs(parts) < 10'000) {
    std::string text = fmt::format("{:+.3f}", parts);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return "drift " + text + "ppm";
  }
  return "rate " + shortest(rate_number(rate));
}

double rate_number(int64_t rate) {
  return std::ldexp(static_cast<double>(rate), -32);
}

}  // namespace time_chaos::clock
