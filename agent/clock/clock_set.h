// Clock ids by name, and sets of them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::clock {

// A set of the clock ids 0..11.
class ClockSet {
 public:
  constexpr ClockSet() = default;
  constexpr explicit ClockSet(uint32_t bits) : bits_(bits & ((1U << TC_CLOCK_COUNT) - 1)) {}

  // REALTIME, REALTIME_COARSE, TAI, REALTIME_ALARM: the default.
  static ClockSet wall();
  // MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME, BOOTTIME_ALARM.
  static ClockSet monotonic_family();

  [[nodiscard]] constexpr bool has(int clock) const {
    return clock >= 0 && clock < TC_CLOCK_COUNT && ((bits_ >> clock) & 1U) != 0;
  }
  [[nodiscard]] constexpr bool empty() const { return bits_ == 0; }
  [[nodiscard]] constexpr uint32_t bits() const { return bits_; }
  [[nodiscard]] constexpr ClockSet operator|(ClockSet o) const { return ClockSet(bits_ | o.bits_); }
  [[nodiscard]] constexpr ClockSet operator&(ClockSet o) const { return ClockSet(bits_ & o.bits_); }
  constexpr bool operator==(const ClockSet&) const = default;

  // "wall" when it is exactly that, else the names, comma-separated: "realtime,monotonic".
  [[nodiscard]] std::string text() const;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  uint32_t bits_ = 0;
};

// "realtime", for 0; "clock 10" for an id without a name.
std::string clock_name(int clock);

// Clocks that never step back for any program: all but the wall clocks, CPU-time clocks included.
bool is_monotonic(int clock);

// A comma-separated list of kernel names, in any case, with or without CLOCK_
// ("realtime,CLOCK_MONOTONIC"), and the groups "wall", "monotonic-family" and "all".
// kUsage for unknown, empty or repeated-comma lists; the error names the word and lists what is
// known.
Result<ClockSet> parse_clocks(std::string_view text);

}  // namespace time_chaos::clock
