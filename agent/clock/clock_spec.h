// What the user asked clocks to do: where they start, how they run, what happens to them.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "agent/clock/clock_set.h"
#include "agent/clock/reading.h"
#include "agent/clock/schedule.h"

namespace time_chaos::clock {

// Real readings of all clock ids at about one instant; {0, 0} for ids the kernel does not have.
// Read by raw system calls, so that a shifted agent would still see host time in its own engine.
using HostReadings = std::array<Reading, TC_CLOCK_COUNT>;
HostReadings read_host_clocks();

// A step at random, from what a clock shows: low to high, both included.
struct Bump {
  std::chrono::nanoseconds low{0};
  std::chrono::nanoseconds high{0};
};

// Up to `amplitude` earlier or later, gliding from one deviation to the next in `interval`, or in
// so long a time that the clock never runs backwards.
struct Jitter {
  std::chrono::nanoseconds amplitude{0};
  std::optional<std::chrono::nanoseconds> interval;
};

struct ClockSpec {
  ClockSet clocks = ClockSet::wall();
  // Where a clock starts: at most one of these. None: from what it shows now.
  std::optional<std::chrono::nanoseconds> offset = {};  // from real time
  std::optional<Reading> date = {};                     // as CLOCK_REALTIME shows it
  std::optional<Bump> bump = {};
  int64_t rate = TC_RATE_ONE;  // Q32.32
  // At most one of these.
  std::optional<Strobe> strobe = {};
  std::optional<Leap> leap = {};
  std::shared_ptr<const Schedule> schedule = {};
  std::optional<Jitter> jitter = {};
  uint64_t seed = 0;  // of bump and jitter
  bool allow_monotonic_step = false;
  // The instant at which wall clocks start, the same for all targets of an experiment. Nothing:
  // now.
  std::optional<HostReadings> start = {};

  // A constant offset and nothing else.
  [[nodiscard]] bool is_offset() const {
    return !date && !bump && rate == TC_RATE_ONE && !has_course();
  }
  // More than a straight line.
  [[nodiscard]] bool has_course() const { return strobe || leap || schedule || jitter; }
};

// By how much the bump steps: drawn from the seed.
std::chrono::nanoseconds bump_of(const ClockSpec& spec);

// "+1h", "at 2030-01-01T00:00:00Z, frozen", "drift +200ppm, jitter 5ms".
std::string words(const ClockSpec& spec);

}  // namespace time_chaos::clock
