// One reading of a clock, and the arithmetic that the maps' planners and their tests need.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace time_chaos::clock {

// Normalised: nsec in [0, 1e9). Seconds within +-2^62, so that sums do not overflow.
struct Reading {
  int64_t sec = 0;
  int64_t nsec = 0;
  // clang-tidy takes what the compiler writes here for a literal 0.
  auto operator<=>(const Reading&) const = default;  // NOLINT(modernize-use-nullptr)
};

// A span as a reading: -1ns is {-1, 999999999}.
Reading as_reading(std::chrono::nanoseconds span);

Reading plus(Reading reading, std::chrono::nanoseconds span);

// a - b, saturated to int64 nanoseconds (about 292 years).
std::chrono::nanoseconds minus(Reading a, Reading b);

}  // namespace time_chaos::clock
