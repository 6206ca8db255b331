#include "agent/syscalls/timer_end.h"

#include <cstddef>
#include <cstring>

#include "agent/syscalls/deadline.h"

namespace time_chaos::syscalls {
namespace {

using std::chrono::nanoseconds;

// The wall clock is slewed meanwhile.
constexpr nanoseconds kSlack = std::chrono::milliseconds(20);

bool same_map(const clock::ClockMaps& a, const clock::ClockMaps& b, int clock) {
  const auto i = static_cast<size_t>(clock);
  return std::memcmp(&a[i], &b[i], offsetof(tc_clock_map, until_sec)) == 0 &&
         std::memcmp(&a.table, &b.table, sizeof a.table) == 0;
}

// Of a timer of which no more is known than when it expires. Where that lies behind the end of its
// map is no matter: deadlines do not regard it.
clock::Reading shown_by(const clock::ClockMaps& maps, int clock, clock::Reading real) {
  const auto i = static_cast<size_t>(clock);
  if (clock::is_over(maps[i], read_host(clock))) return clock::apply(maps, clock, real);
  clock::ClockMaps lasting = maps;
  lasting[i].until_sec = TC_NEVER;
  return clock::apply(lasting, clock, real);
}

}  // namespace

bool is_at(const TimerStands& timer, const TimerEnd& noted) {
  return noted.real >= clock::plus(timer.earliest, -kSlack) &&
         noted.real <= clock::plus(timer.latest, kSlack);
}

std::optional<TimerEnd> end_anew(const TimerStands& timer, const std::optional<TimerEnd>& noted,
                                 const clock::ClockMaps& before, const clock::ClockMaps& now) {
  if (same_map(before, now, timer.clock)) return std::nullopt;
  TimerEnd end;
  // A little late, never early.
  if (noted && is_at(timer, *noted)) {
    end.shown = noted->shown;
  } else if (noted && timer.repeats &&
             before[static_cast<size_t>(timer.clock)].kind == TC_MAP_OFFSET) {
    end.shown = clock::plus(noted->shown, clock::minus(timer.latest, noted->real));
  } else {
    end.shown = shown_by(before, timer.clock, timer.latest);
  }
  end.real = never_off(real_time_of(now, timer.clock, end.shown));
  return end;
}

clock::Reading never_off(clock::Reading real) {
  return real == clock::Reading{} ? clock::Reading{0, 1} : real;
}

}  // namespace time_chaos::syscalls
