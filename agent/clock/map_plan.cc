// One map a clock id, from a request, from the end of an experiment or for a new lease.
#include "agent/clock/map_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/clock/duration.h"

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;
using Lease = std::optional<nanoseconds>;

tc_clock_map offset_map(nanoseconds offset) {
  const Reading added = as_reading(offset);
  tc_clock_map map{};
  map.kind = TC_MAP_OFFSET;
  map.fake_sec = added.sec;
  map.fake_nsec = added.nsec;
  map.carry_nsec = static_cast<uint32_t>(TC_NSEC_PER_SEC - added.nsec);
  map.until_sec = TC_NEVER;
  return map;
}

void set_end(tc_clock_map& map, Reading end) {
  map.until_sec = end.sec;
  map.until_nsec = end.nsec;
}

bool is_over(const tc_clock_map& map, Reading real) {
  return real >= Reading{map.until_sec, map.until_nsec};
}

// A wall clock shows real time again when its lease ends. A constant shift of a monotonic clock
// has no end: it could only end in a step back, or forwards for no reason.
tc_clock_map leased(int clock, tc_clock_map map, Reading now, Lease lease) {
  if (is_monotonic(clock) && is_over(map, now)) return offset_map(shift_at(map, now));
  map.after_sec = 0;
  map.after_nsec = 0;
  set_end(map, {TC_NEVER, 0});
  if (!lease || (is_monotonic(clock) && map.kind == TC_MAP_OFFSET)) return map;
  const Reading end = plus(now, *lease);
  if (is_monotonic(clock)) {
    // A rate ends where it has led to, unless that is behind real time.
    const Reading kept = as_reading(std::max(shift_at(map, end), nanoseconds(0)));
    map.after_sec = kept.sec;
    map.after_nsec = kept.nsec;
  }
  set_end(map, end);
  return map;
}

Status check_monotonic(int clock, nanoseconds offset, nanoseconds present) {
  if (offset >= present) return {};
  const std::string name = clock_name(clock);
  if (present <= nanoseconds(0)) {
    return fail(Exit::kUsage,
                fmt::format("{} by {}: it must never step back", name, format_offset(offset)),
                fmt::format("leave {} out of --clocks, or use an offset forwards", name));
  }
  return fail(Exit::kUsage,
              fmt::format("{} by {}: it is {} ahead and must never step back", name,
                          format_offset(offset), format_offset(present)),
              fmt::format("leave {} out of --clocks, or use an offset of {} or more", name,
                          format_offset(present)));
}

Status check_wall(int clock, nanoseconds offset, Reading now) {
  // {0, 0}: the kernel does not have this clock, so no target can read it.
  if (now == Reading{} || plus(now, offset) >= Reading{}) return {};
  return fail(Exit::kUsage,
              fmt::format("{} by {}: it would read a time before 1970", clock_name(clock),
                          format_offset(offset)),
              fmt::format("use an offset of {} or more", format_offset(-minus(now, Reading{}))));
}

// A clock that is not, or no longer, shifted.
tc_clock_map released(int clock, const tc_clock_map& current, Reading now, ClockSet& kept) {
  const nanoseconds ahead = shift_at(current, now);
  if (!is_monotonic(clock) || ahead <= nanoseconds(0)) return offset_map(nanoseconds(0));
  kept = kept | ClockSet(1U << clock);
  return offset_map(ahead);
}

}  // namespace

ClockMaps identity_maps() {
  ClockMaps maps{};
  maps.fill(offset_map(nanoseconds(0)));
  return maps;
}

ClockMaps maps_in_force(const tc_clock_page& page) {
  ClockMaps maps{};
  std::copy_n(tc_page_maps(&page, page.latch), TC_CLOCK_COUNT, maps.begin());
  return maps;
}

Reading apply(const ClockMaps& maps, int clock, Reading real) {
  if (clock < 0 || clock >= TC_CLOCK_COUNT) return real;
  tc_map_apply(&maps[static_cast<size_t>(clock)], &real.sec, &real.nsec);
  return real;
}

nanoseconds shift_at(const tc_clock_map& map, Reading real) {
  Reading fake = real;
  tc_map_apply(&map, &fake.sec, &fake.nsec);
  return minus(fake, real);
}

Result<MapPlan> plan_shift(const ClockSpec& spec, const ClockMaps& current, const HostReadings& now,
                           Lease lease) {
  if (lease && *lease <= nanoseconds(0)) {
    return fail(Exit::kUsage, "a lease of " + format_duration(*lease) + " is over at once",
                "use a lease of some seconds");
  }
  MapPlan plan;
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    const auto i = static_cast<size_t>(clock);
    if (spec.clocks.has(clock)) {
      TC_CHECK(is_monotonic(clock)
                   ? check_monotonic(clock, spec.offset, shift_at(current[i], now[i]))
                   : check_wall(clock, spec.offset, now[i]));
      plan.maps[i] = offset_map(spec.offset);
    } else {
      plan.maps[i] = released(clock, current[i], now[i], plan.kept);
    }
    plan.maps[i] = leased(clock, plan.maps[i], now[i], lease);
  }
  return plan;
}

MapPlan plan_recover(const ClockMaps& current, const HostReadings& now) {
  MapPlan plan;
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    const auto i = static_cast<size_t>(clock);
    plan.maps[i] = released(clock, current[i], now[i], plan.kept);
  }
  return plan;
}

ClockMaps with_lease(const ClockMaps& maps, const HostReadings& now, Lease lease) {
  ClockMaps renewed{};
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    const auto i = static_cast<size_t>(clock);
    renewed[i] = leased(clock, maps[i], now[i], lease);
  }
  return renewed;
}

}  // namespace time_chaos::clock
