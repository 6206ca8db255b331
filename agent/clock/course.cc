#include "agent/clock/course.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "agent/clock/duration.h"
#include "agent/clock/map_plan.h"

namespace time_chaos::clock {
namespace {

__extension__ using Wide = __int128;

// A millisecond or so: what programs read a clock for is not finer.
constexpr uint64_t kLeastShift = 20;
constexpr uint64_t kMostShift = 55;

// An agent that feeds a long schedule to its targets must not have to hurry.
constexpr std::chrono::nanoseconds kLeastFeed = std::chrono::seconds(1);

Result<Program> program_of(const ClockSpec& spec, Reading shown) {
  if (spec.leap && spec.rate <= 0) {
    return fail(Exit::kUsage, "a clock that does not advance never comes to its leap second",
                "use --leap-second with a rate above 0");
  }
  if (spec.schedule) return Program::compile(*spec.schedule, spec.rate, shown);
  if (spec.strobe) return Program::compile(schedule_of(*spec.strobe), spec.rate, shown);
  if (spec.leap)
    return Program::compile(schedule_of(*spec.leap, shown, spec.rate), spec.rate, shown);
  return Program::line(spec.rate);
}

}  // namespace

Result<Course> Course::plan(const ClockSpec& spec, Reading shown) {
  TC_TRY(Program program, program_of(spec, shown));
  Course course(std::move(program));
  course.is_line_ = !spec.has_course();
  if (course.program_.half_table() < kLeastFeed) {
    return fail(Exit::kUsage,
                fmt::format("the schedule has so many steps at a time that {} of them last less "
                            "than {}",
                            TC_SEGMENT_COUNT / 2, format_duration(kLeastFeed)),
                fmt::format("leave out some, or have {} of them in all", TC_SEGMENT_COUNT));
  }
  if (spec.jitter) TC_CHECK(course.set_jitter(spec));
  return course;
}

// It moves the instant that is looked at, so that all that is in force at that instant moves with
// it, and a clock that never runs backwards does not begin to.
Status Course::set_jitter(const ClockSpec& spec) {
  const int64_t fastest = program_.fastest();
  const Wide scaled = fastest == 0 ? 0 : (Wide{spec.jitter->amplitude.count()} << 32) / fastest;
  if (scaled == 0) {
    return fail(Exit::kUsage,
                "a jitter of " + format_duration(spec.jitter->amplitude) + " cannot be seen",
                "use a larger one, and a clock that is not frozen");
  }
  if (scaled > (Wide{1} << 52)) {
    return fail(Exit::kUsage, "the clock runs too slowly for a jitter that large",
                "use a smaller one");
  }
  const auto amplitude = static_cast<uint64_t>(scaled);
  span_ = static_cast<int64_t>(2 * amplitude);
  seed_ = spec.seed;
  if (spec.jitter->interval) {
    // The largest power of two in it.
    const auto wanted = static_cast<uint64_t>(spec.jitter->interval->count());
    shift_ = std::clamp<uint64_t>(static_cast<uint64_t>(std::bit_width(wanted)) - 1, 1, kMostShift);
  } else {
    // Half as fast as time at the most, either way.
    const auto needed = static_cast<uint64_t>(std::bit_width(4 * amplitude - 1));
    shift_ = std::clamp(needed, kLeastShift, kMostShift);
  }
  jitters_back_ = (uint64_t{1} << shift_) < 3 * amplitude;
  return {};
}

tc_clock_table Course::with_jitter(tc_clock_table table) const {
  table.jitter_seed = seed_;
  table.jitter_span = span_;
  table.jitter_shift = shift_;
  return table;
}

ClockMaps renewed(ClockMaps maps, ClockSet clocks, const HostReadings& now,
                  std::optional<std::chrono::nanoseconds> lease, const Programs& programs) {
  const auto place = place_in_schedule(maps, now);
  for (const auto& program : programs) {
    // Somebody may have set something else meanwhile.
    if (!place || program->feed() == 0 || maps.table.feed != program->feed()) continue;
    maps.table = refilled(*program, *place, maps.table);
  }
  return lease ? with_lease(maps, now, lease, clocks) : maps;
}

tc_clock_table refilled(const Program& program, int64_t t, const tc_clock_table& before) {
  tc_clock_table table = program.table(t);
  table.jitter_seed = before.jitter_seed;
  table.jitter_span = before.jitter_span;
  table.jitter_shift = before.jitter_shift;
  return table;
}

}  // namespace time_chaos::clock
