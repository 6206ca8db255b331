// From what the user asked for to the maps of a clock page, under the rules of time (DESIGN §6).
#pragma once

#include <chrono>
#include <memory>
#include <optional>

#include "agent/base/error.h"
#include "agent/clock/clock_maps.h"
#include "agent/clock/clock_set.h"
#include "agent/clock/clock_spec.h"
#include "agent/clock/program.h"

namespace time_chaos::clock {

struct MapPlan {
  ClockMaps maps;
  // Monotonic clocks that stay ahead of real time, because going back would step them backwards.
  ClockSet kept;
  // What the table is a part of, where it does not hold all of it: somebody has to refill it.
  std::shared_ptr<const Program> program;
};

// Where the maps of monotonic clocks have their corner: so much later than `now` at most they must
// be in force (ClockMaps::flip_before).
inline constexpr std::chrono::milliseconds kLead{50};

// Maps for `spec`, replacing `current` (identity_maps() for a new experiment).
//  - Wall clocks not in the set go back to real time; monotonic clocks not in the set keep what
//    they are ahead (-> kept).
//  - kUsage when a monotonic clock would step backwards or run so, unless the spec allows it,
//  naming
//    the clock and the remedy; and when a clock would read before 1970 or after 2262 (the kernel
//    refuses such times too: timespec64_valid_settod, include/linux/time64.h).
//  - With `lease`, every map ends when its own real clock has advanced by it: wall clocks then show
//    real time; monotonic clocks keep a constant shift (until = TC_NEVER). kUsage for a lease that
//    is not positive.
Result<MapPlan> plan_shift(const ClockSpec& spec, const ClockMaps& current, const HostReadings& now,
                           std::optional<std::chrono::nanoseconds> lease);

// The maps of an ended experiment: wall clocks real, monotonic clocks that are ahead kept ahead by
// a constant offset: what they are ahead now, or, where their rate is not 1, when kLead is over.
MapPlan plan_recover(const ClockMaps& current, const HostReadings& now);

// The same maps with a new end: what renewing a lease of an experiment on `clocks` writes. No
// lease: never. A wall clock whose lease has ended is shifted again; a monotonic clock never moves
// by it.
ClockMaps with_lease(const ClockMaps& maps, const HostReadings& now,
                     std::optional<std::chrono::nanoseconds> lease,
                     ClockSet clocks = ClockSet(~0U));

// Where a clock with a schedule is in it: since its anchor. Nothing: there is none.
std::optional<int64_t> place_in_schedule(const ClockMaps& maps, const HostReadings& now);

}  // namespace time_chaos::clock
