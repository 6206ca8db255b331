// Go's time.ParseDuration, value for value: a user of Go programs must not have to learn another
// one. Fractions are therefore computed in double, as Go does (0.3333333333333333333h is 20m).
#include "agent/clock/duration.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <limits>

#include "agent/clock/quoted.h"

namespace time_chaos::clock {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;  // in nanoseconds, like all that follows
constexpr uint64_t kMagnitudeOfMin = uint64_t{1} << 63;

struct Unit {
  std::string_view name;
  uint64_t nanoseconds;
};
constexpr std::array<Unit, 9> kUnits = {{{"ns", 1},
                                         {"us", 1'000},
                                         {"\u00b5s", 1'000},  // micro sign
                                         {"\u03bcs", 1'000},  // Greek mu
                                         {"ms", 1'000'000},
                                         {"s", kSecond},
                                         {"m", 60 * kSecond},
                                         {"h", 3600 * kSecond},
                                         {"d", 86'400 * kSecond}}};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes from the front of `rest` all characters that are digits, or all that are not part of a
// number.
std::string_view take(std::string_view& rest, bool digits) {
  size_t size = 0;
  while (size < rest.size() && is_digit(rest[size]) == digits && (digits || rest[size] != '.')) {
    size++;
  }
  const std::string_view taken = rest.substr(0, size);
  rest.remove_prefix(size);
  return taken;
}

// What is wrong with a text, without the text.
using Reason = std::string;
template <typename T>
using Parsed = tl::expected<T, Reason>;

tl::unexpected<Reason> too_large() {
  return tl::unexpected<Reason>("it is more than 292 years (int64 nanoseconds)");
}

// `digits` and `fraction` of a unit. What is below a nanosecond is dropped.
Parsed<uint64_t> scale(std::string_view digits, std::string_view fraction, uint64_t unit) {
  uint64_t value = 0;
  for (const char c : digits) {
    if (__builtin_mul_overflow(value, uint64_t{10}, &value) ||
        __builtin_add_overflow(value, static_cast<uint64_t>(c - '0'), &value)) {
      return too_large();
    }
  }
  if (__builtin_mul_overflow(value, unit, &value)) return too_large();

  // Digits that no longer fit 63 bits cannot change the result.
  uint64_t part = 0;
  double divisor = 1;
  for (const char c : fraction) {
    if (part > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) / 10) break;
    part = part * 10 + static_cast<uint64_t>(c - '0');
    divisor *= 10;
  }
  // At most one unit, so the conversion back is in range.
  const double rest = static_cast<double>(part) * (static_cast<double>(unit) / divisor);
  if (__builtin_add_overflow(value, static_cast<uint64_t>(rest), &value)) return too_large();
  return value;
}

// One number with its unit, taken from the front of `rest`; in nanoseconds.
Parsed<uint64_t> take_term(std::string_view& rest) {
  const std::string_view digits = take(rest, true);
  std::string_view fraction;
  if (!rest.empty() && rest.front() == '.') {
    rest.remove_prefix(1);
    fraction = take(rest, true);
  }
  if (digits.empty() && fraction.empty()) {
    return tl::unexpected<Reason>("a number is missing");
  }
  const std::string_view name = take(rest, false);
  if (name.empty()) return tl::unexpected<Reason>("a unit is missing");
  for (const Unit& unit : kUnits) {
    if (unit.name == name) return scale(digits, fraction, unit.nanoseconds);
  }
  return tl::unexpected<Reason>("there is no unit " + quoted(name));
}

Parsed<int64_t> parse(std::string_view rest) {
  if (rest.empty()) return tl::unexpected<Reason>("it is empty");
  const bool negative = rest.front() == '-';
  if (negative || rest.front() == '+') rest.remove_prefix(1);
  if (rest == "0") return 0;
  if (rest.empty()) return tl::unexpected<Reason>("a number is missing");
  uint64_t sum = 0;
  while (!rest.empty()) {
    const Parsed<uint64_t> term = take_term(rest);
    if (!term) return tl::unexpected<Reason>(term.error());
    if (__builtin_add_overflow(sum, *term, &sum) || sum > kMagnitudeOfMin) return too_large();
  }
  if (negative) return static_cast<int64_t>(0 - sum);
  if (sum == kMagnitudeOfMin) return too_large();
  return static_cast<int64_t>(sum);
}

}  // namespace

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  const Parsed<int64_t> parsed = parse(text);
  if (!parsed) {
    return fail(Exit::kUsage, "bad duration " + quoted(text) + ": " + parsed.error(),
                "write it like -1h30m, 1.5s or 100ns; units are ns us ms s m h d");
  }
  return std::chrono::nanoseconds(*parsed);
}

}  // namespace time_chaos::clock
