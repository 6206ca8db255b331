// From what the user asked for to the maps of a clock page, under the rules of time (DESIGN §6).
#pragma once

#include <array>
#include <chrono>
#include <optional>

#include "agent/base/error.h"
#include "agent/clock/clock_set.h"
#include "agent/clock/reading.h"
#include "time_chaos/abi/clock_map.h"

namespace time_chaos::clock {

using ClockMaps = std::array<tc_clock_map, TC_CLOCK_COUNT>;

// Real readings of all clock ids at about one instant; {0, 0} for ids the kernel does not have.
// Read by raw system calls, so that a shifted agent would still see host time in its own engine.
using HostReadings = std::array<Reading, TC_CLOCK_COUNT>;
HostReadings read_host_clocks();

// The maps of a page that are in force.
ClockMaps maps_in_force(const tc_clock_page& page);

// What a target sees of clock `clock` when the host reads `real`.
Reading apply(const ClockMaps& maps, int clock, Reading real);

// What one map adds at `real`: fake - real, saturated to int64 nanoseconds.
std::chrono::nanoseconds shift_at(const tc_clock_map& map, Reading real);

// Every clock shown as it is, never expiring.
ClockMaps identity_maps();

struct ClockSpec {
  ClockSet clocks = ClockSet::wall();
  std::chrono::nanoseconds offset{0};
};

struct MapPlan {
  ClockMaps maps{};
  // Monotonic clocks that stay ahead of real time, because going back would step them backwards.
  ClockSet kept;
};

// Maps for `spec`, replacing `current` (identity_maps() for a new experiment).
//  - Clocks of the set show real + offset; wall clocks not in the set go back to real time;
//    monotonic clocks not in the set keep what they are ahead (-> kept).
//  - kUsage when a monotonic clock would step backwards (a negative offset; an offset smaller than
//    the present shift), naming the clock and the remedy, and when a wall clock would read before
//    1970 (the kernel refuses such times too: timespec64_valid_settod, include/linux/time64.h).
//  - With `lease`, every map ends when its own real clock has advanced by it: wall clocks then show
//    real time; monotonic clocks keep their shift (until = TC_NEVER). kUsage for a lease that is
//    not positive.
Result<MapPlan> plan_shift(const ClockSpec& spec, const ClockMaps& current, const HostReadings& now,
                           std::optional<std::chrono::nanoseconds> lease);

// The maps of an ended experiment: wall clocks real, monotonic clocks that are ahead kept ahead by
// a constant offset: what they are ahead at `now`.
MapPlan plan_recover(const ClockMaps& current, const HostReadings& now);

// The same maps with a new end: what renewing a lease writes. No lease: never. A wall clock whose
// lease has ended is shifted again; a monotonic clock never moves by it.
ClockMaps with_lease(const ClockMaps& maps, const HostReadings& now,
                     std::optional<std::chrono::nanoseconds> lease);

}  // namespace time_chaos::clock
