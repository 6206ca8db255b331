#include "agent/clock/map_rules.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>

#include "agent/clock/clock_set.h"
#include "agent/clock/duration.h"
#include "agent/clock/rate.h"

namespace time_chaos::clock {

using std::chrono::nanoseconds;

Status check_monotonic(int clock, nanoseconds shift, nanoseconds present) {
  if (shift >= present) return {};
  const std::string name = clock_name(clock);
  if (present <= nanoseconds(0)) {
    return fail(Exit::kUsage,
                fmt::format("{} by {}: it must never step back", name, format_offset(shift)),
                fmt::format("leave {} out of --clocks, use an offset forwards, or "
                            "--allow-monotonic-step",
                            name));
  }
  return fail(Exit::kUsage,
              fmt::format("{} by {}: it is {} ahead and must never step back", name,
                          format_offset(shift), format_offset(present)),
              fmt::format("leave {} out of --clocks, use an offset of {} or more, or "
                          "--allow-monotonic-step",
                          name, format_offset(present)));
}

Status check_course(int clock, const ClockSpec& spec, const Course& course) {
  const std::string name = clock_name(clock);
  const std::string remedy =
      fmt::format("leave {} out of --clocks, or use --allow-monotonic-step", name);
  if (spec.rate < 0) {
    return fail(
        Exit::kUsage,
        fmt::format("{} at rate {}: it must never run backwards", name, rate_number(spec.rate)),
        remedy);
  }
  if (spec.bump && spec.bump->low < nanoseconds(0)) {
    return fail(Exit::kUsage,
                fmt::format("{} bumped by {} or more: it must never step back", name,
                            format_offset(spec.bump->low)),
                fmt::format("leave {} out of --clocks, use bounds above 0, or "
                            "--allow-monotonic-step",
                            name));
  }
  if (course.is_line()) return {};
  const auto& backward = course.program().backward();
  if (backward && backward->by > nanoseconds(0)) {
    return fail(Exit::kUsage,
                fmt::format("{} would step back by {} at {} after the start, and must never", name,
                            format_duration(backward->by), format_duration(backward->at)),
                remedy);
  }
  if (backward) {
    return fail(Exit::kUsage,
                fmt::format("{} would run backwards from {} after the start on, and must never",
                            name, format_duration(backward->at)),
                remedy);
  }
  if (course.jitters_back()) {
    return fail(Exit::kUsage,
                fmt::format("{} with so fast a jitter: it must never step back", name),
                "use a longer interval, or " + remedy);
  }
  return {};
}

Status check_range(int clock, Reading now, nanoseconds shift, int64_t lowest) {
  // {0, 0}: the kernel does not have this clock, so no target can read it.
  if (now == Reading{}) return {};
  const std::string name = clock_name(clock);
  const bool monotonic = is_monotonic(clock);
  const Reading first = plus(now, shift);
  if (first < Reading{}) {
    return fail(Exit::kUsage,
                fmt::format("{} by {}: it would read a time before {}", name, format_offset(shift),
                            monotonic ? "the boot" : "1970"),
                fmt::format("use an offset of {} or more", format_offset(-minus(now, Reading{}))));
  }
  if (first.sec > TC_LAST_SEC) {
    const Reading last{TC_LAST_SEC, 0};
    return fail(Exit::kUsage,
                fmt::format("{} by {}: it would read a time after 2262, which leaves 64 bits of "
                            "nanoseconds",
                            name, format_offset(shift)),
                fmt::format("use an offset of {} or less", format_offset(minus(last, now))));
  }
  if (plus(first, nanoseconds(lowest)) < Reading{}) {
    return fail(Exit::kUsage,
                fmt::format("{} would read a time before {} on the way, by {}", name,
                            monotonic ? "the boot" : "1970", format_offset(nanoseconds(lowest))),
                "start later, or step back less");
  }
  return {};
}

Status check_one_table(const ClockSpec& spec, const ClockMaps& released) {
  const bool taken = std::any_of(released.begin(), released.end(), [](const tc_clock_map& map) {
    return map.kind == TC_MAP_SCHEDULE;
  });
  if (!taken || !spec.has_course()) return {};
  return fail(Exit::kUsage,
              "a monotonic clock that is not among --clocks is still in an earlier schedule",
              "name it as well, or set an offset first");
}

Status check_cpu_time(int clock) {
  if (clock != CLOCK_PROCESS_CPUTIME_ID && clock != CLOCK_THREAD_CPUTIME_ID) return {};
  return fail(Exit::kUsage,
              fmt::format("{} can only have an offset: every process and thread has its own",
                          clock_name(clock)),
              "use --clocks wall,monotonic-family");
}

Error no_date(int clock) {
  return Error(Exit::kUsage, fmt::format("{} tells no date", clock_name(clock)),
               fmt::format("leave {} out of --clocks, or use --offset", clock_name(clock)));
}

}  // namespace time_chaos::clock
