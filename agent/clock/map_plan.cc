// One map a clock id, from a request, from the end of an experiment or for a new lease.
#include "agent/clock/map_plan.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>

#include "agent/clock/course.h"
#include "agent/clock/duration.h"
#include "agent/clock/map_rules.h"
#include "agent/clock/rate_map.h"

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;
using Lease = std::optional<nanoseconds>;

void set_end(tc_clock_map& map, Reading end) {
  map.until_sec = end.sec;
  map.until_nsec = end.nsec;
}

// The clock that goes with this one, but in finer steps. Their maps have one anchor, so that the
// coarse one does not get ahead.
int finer(int clock) {
  switch (clock) {
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
      return CLOCK_REALTIME;
    case CLOCK_MONOTONIC_COARSE:
      return CLOCK_MONOTONIC;
    case CLOCK_BOOTTIME_ALARM:
      return CLOCK_BOOTTIME;
    default:
      return clock;
  }
}

Reading at(const HostReadings& readings, int clock) {
  return readings[static_cast<size_t>(finer(clock))];
}

// The kernel does not have this clock, so that nobody can read it (the alarm clocks need a device).
bool is_missing(Reading now) {
  return now == Reading{};
}

// In force before the host's CLOCK_MONOTONIC reads `now` and `span` more.
void hurry(ClockMaps& maps, const HostReadings& now, nanoseconds span) {
  const Reading end = plus(now[CLOCK_MONOTONIC], span);
  maps.flip_before = maps.flip_before ? std::min(*maps.flip_before, end) : end;
}

// The end of a lease. A wall clock shows real time again. A constant shift of a monotonic clock
// has no end: it could only end in a step back, or forwards for no reason.
void set_lease(ClockMaps& maps, int clock, const HostReadings& host, Lease lease) {
  const Reading now = host[static_cast<size_t>(clock)];
  tc_clock_map& map = maps[static_cast<size_t>(clock)];
  if (is_missing(now)) return;
  if (is_monotonic(clock) && is_over(map, now)) {
    map = offset_map(shift_at(maps, clock, now));
    return;
  }
  map.after_sec = 0;
  map.after_nsec = 0;
  set_end(map, {TC_NEVER, 0});
  if (!lease || (is_monotonic(clock) && map.kind == TC_MAP_OFFSET)) return;
  const Reading end = plus(now, *lease);
  if (is_monotonic(clock)) {
    // A rate ends where it has led to, unless that is behind real time.
    const Reading kept = as_reading(std::max(shift_at(maps, clock, end), nanoseconds(0)));
    map.after_sec = kept.sec;
    map.after_nsec = kept.nsec;
    hurry(maps, host, minus(end, at(host, clock)));
  }
  set_end(map, end);
}

// The most that a clock is ahead from now until then, or more.
nanoseconds most_ahead(const ClockMaps& maps, int clock, Reading now, Reading then) {
  const tc_clock_map& map = maps[static_cast<size_t>(clock)];
  const nanoseconds here = shift_at(maps, clock, now);
  if (map.kind == TC_MAP_OFFSET || is_over(map, now)) return here;
  const nanoseconds there = shift_at(maps, clock, then);
  const bool straight = map.kind == TC_MAP_RATE && now >= Reading{map.real_sec, map.real_nsec};
  // It may get ahead in between and fall behind again; but never behind what it showed.
  return straight ? std::max(here, there) : there + minus(then, now);
}

// A clock that is not, or no longer, shifted.
void release(MapPlan& plan, int clock, const ClockMaps& current, const HostReadings& host) {
  const auto i = static_cast<size_t>(clock);
  const Reading now = host[i];
  const bool steady = current[i].kind == TC_MAP_OFFSET || is_over(current[i], now);
  Reading end = plus(now, kLead);
  if (is_over(current[i], end)) end = {current[i].until_sec, current[i].until_nsec};
  plan.maps[i] = offset_map(nanoseconds(0));
  if (!is_monotonic(clock) || is_missing(now)) return;
  if (most_ahead(current, clock, now, end) <= nanoseconds(0)) return;
  plan.kept = plan.kept | ClockSet(1U << clock);
  if (steady) {
    plan.maps[i] = offset_map(shift_at(current, clock, now));
    return;
  }
  // It goes on as it does until a moment that is still to come, and only then at real speed.
  plan.maps[i] = current[i];
  const Reading kept = as_reading(std::max(shift_at(current, clock, end), nanoseconds(0)));
  plan.maps[i].after_sec = kept.sec;
  plan.maps[i].after_nsec = kept.nsec;
  set_end(plan.maps[i], end);
  plan.maps.table = current.table;
  hurry(plan.maps, host, minus(end, at(host, clock)));
}

// Plans the clocks of the set.
class Planner {
 public:
  Planner(const ClockSpec& spec, const ClockMaps& current, const HostReadings& now)
      : spec_(spec), current_(current), now_(now), start_(spec.start.value_or(now)) {}

  Status run(MapPlan& plan) {
    TC_TRY(course_, Course::plan(spec_, shown_at_start()));
    for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
      if (!spec_.clocks.has(clock)) continue;
      TC_CHECK(is_monotonic(clock) ? monotonic(plan, clock) : wall(plan, clock));
    }
    if (!course_->is_line()) plan.maps.table = course_->table();
    if (!course_->program().whole()) {
      plan.program = std::make_shared<const Program>(course_->program());
    }
    return {};
  }

 private:
  // Of CLOCK_REALTIME, whether it is one of the set or not: what dates and midnights go by.
  [[nodiscard]] Reading shown_at_start() const {
    return plus(start_[CLOCK_REALTIME], wall_shift(CLOCK_REALTIME));
  }

  [[nodiscard]] nanoseconds wall_shift(int clock) const {
    if (spec_.offset) return *spec_.offset;
    if (spec_.date) return minus(*spec_.date, start_[CLOCK_REALTIME]);
    return shift_at(current_, clock, at(start_, clock)) + bump_of(spec_);
  }

  // A leap second does not happen to CLOCK_TAI.
  [[nodiscard]] bool straight(int clock) const {
    return course_->is_line() || (clock == CLOCK_TAI && spec_.leap && *spec_.leap != Leap::kSmear);
  }

  tc_clock_map map_of(int clock, Reading real, Reading fake, int64_t before) const {
    tc_clock_map map = make_rate_map_fixed(real, fake, spec_.rate);
    set_rate_before(map, before);
    if (!straight(clock)) map.kind = TC_MAP_SCHEDULE;
    return map;
  }

  Status wall(MapPlan& plan, int clock) {
    const nanoseconds shift = wall_shift(clock);
    const Reading real = at(start_, clock);
    TC_CHECK(check_range(clock, real, shift, straight(clock) ? 0 : course_->program().lowest()));
    const bool constant = spec_.rate == TC_RATE_ONE && straight(clock);
    plan.maps[static_cast<size_t>(clock)] =
        constant ? offset_map(shift) : map_of(clock, real, plus(real, shift), spec_.rate);
    return {};
  }

  // Its map has a corner that is still to come: until then it goes on as it did.
  Status monotonic(MapPlan& plan, int clock) {
    const auto i = static_cast<size_t>(clock);
    if (spec_.date) return fail(no_date(clock));
    if (!spec_.allow_monotonic_step) TC_CHECK(check_course(clock, spec_, *course_));
    const Reading now = now_[i];  // a coarse clock lags behind the finer one
    const Reading corner = plus(at(now_, clock), kLead);
    const bool steady = current_[i].kind == TC_MAP_OFFSET || is_over(current_[i], now);
    // Rounded up: two lines that meet are each rounded down.
    const nanoseconds up(steady ? 0 : 1);
    const nanoseconds ahead = most_ahead(current_, clock, now, corner) + up;
    const bool constant = spec_.rate == TC_RATE_ONE && straight(clock);
    if (!constant) TC_CHECK(check_cpu_time(clock));
    if (!steady || !constant) hurry(plan.maps, now_, kLead);
    const nanoseconds there = steady ? ahead : shift_at(current_, clock, corner) + up;
    const nanoseconds shift = spec_.offset.value_or((constant ? ahead : there) + bump_of(spec_));
    if (!spec_.allow_monotonic_step) {
      TC_CHECK(check_monotonic(clock, shift, constant || spec_.offset ? ahead : there));
    }
    TC_CHECK(check_range(clock, now, shift, straight(clock) ? 0 : course_->program().lowest()));
    plan.maps[i] = constant
                       ? offset_map(shift)
                       : map_of(clock, corner, plus(corner, shift), slope_until(i, now, corner));
    return {};
  }

  // A rate that the clock has now at the least, until then.
  [[nodiscard]] int64_t slope_until(size_t clock, Reading now, Reading corner) const {
    const tc_clock_map& map = current_[clock];
    if (is_over(map, now) || map.kind == TC_MAP_OFFSET) return TC_RATE_ONE;
    const bool straight = map.kind == TC_MAP_RATE && !is_over(map, corner) &&
                          now >= Reading{map.real_sec, map.real_nsec};
    return straight ? std::max<int64_t>(map.rate, 0) : 0;
  }

  const ClockSpec& spec_;
  const ClockMaps& current_;
  const HostReadings& now_;
  HostReadings start_;
  std::optional<Course> course_;
};

}  // namespace

Result<MapPlan> plan_shift(const ClockSpec& spec, const ClockMaps& current, const HostReadings& now,
                           Lease lease) {
  if (lease && *lease <= nanoseconds(0)) {
    return fail(Exit::kUsage, "a lease of " + format_duration(*lease) + " is over at once",
                "use a lease of some seconds");
  }
  MapPlan plan;
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    if (!spec.clocks.has(clock)) release(plan, clock, current, now);
  }
  TC_CHECK(check_one_table(spec, plan.maps));
  TC_CHECK(Planner(spec, current, now).run(plan));
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    if (spec.clocks.has(clock)) set_lease(plan.maps, clock, now, lease);
  }
  return plan;
}

MapPlan plan_recover(const ClockMaps& current, const HostReadings& now) {
  MapPlan plan;
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) release(plan, clock, current, now);
  return plan;
}

ClockMaps with_lease(const ClockMaps& maps, const HostReadings& now, Lease lease, ClockSet clocks) {
  ClockMaps renewed = maps;
  renewed.flip_before.reset();
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    const auto i = static_cast<size_t>(clock);
    if (is_missing(now[i])) continue;
    if (clocks.has(clock)) {
      if (is_monotonic(clock) && maps[i].kind != TC_MAP_OFFSET && !is_over(maps[i], now[i]) &&
          maps[i].until_sec != TC_NEVER) {
        hurry(renewed, now, minus({maps[i].until_sec, maps[i].until_nsec}, at(now, clock)));
      }
      set_lease(renewed, clock, now, lease);
    } else if (is_monotonic(clock) && is_over(maps[i], now[i])) {
      renewed[i] = offset_map(shift_at(maps, clock, now[i]));
    }
  }
  return renewed;
}

std::optional<int64_t> place_in_schedule(const ClockMaps& maps, const HostReadings& now) {
  for (size_t clock = 0; clock < ClockMaps::size(); clock++) {
    const tc_clock_map& map = maps[clock];
    if (map.kind != TC_MAP_SCHEDULE) continue;
    return minus(now[clock], {map.real_sec, map.real_nsec}).count();
  }
  return std::nullopt;
}

}  // namespace time_chaos::clock
