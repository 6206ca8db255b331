#include "agent/syscalls/deadline.h"

#include <time.h>

#include <algorithm>

#include "time_chaos/abi/clock_wait.h"

namespace time_chaos::syscalls {

clock::Reading read_host(int clock) {
  // Alarm clocks show what those do that they are made of, and cannot be read without an RTC.
  if (clock == CLOCK_REALTIME_ALARM) clock = CLOCK_REALTIME;
  if (clock == CLOCK_BOOTTIME_ALARM) clock = CLOCK_BOOTTIME;
  timespec now{};
  ::clock_gettime(clock, &now);
  return {now.tv_sec, now.tv_nsec};
}

clock::Reading real_time_of(const clock::ClockMaps& maps, int clock, clock::Reading shown) {
  const clock::Reading now = read_host(clock);
  clock::Reading real = shown;
  (void)tc_map_deadline(&maps[static_cast<size_t>(clock)], &maps.table, now.sec, now.nsec,
                        &real.sec, &real.nsec);
  return real.sec < 0 ? clock::Reading{0, 0} : real;
}

int64_t real_length_of(const clock::ClockMaps& maps, int clock, clock::Reading now, int64_t shown) {
  const int64_t real =
      tc_map_wait(&maps[static_cast<size_t>(clock)], &maps.table, now.sec, now.nsec, shown);
  return shown > 0 ? std::max<int64_t>(real, 1) : real;
}

int64_t shown_length_of(const clock::ClockMaps& maps, int clock, clock::Reading now, int64_t real) {
  const int64_t shown =
      tc_map_passed(&maps[static_cast<size_t>(clock)], &maps.table, now.sec, now.nsec, real);
  return real > 0 ? std::max<int64_t>(shown, 1) : shown;
}

bool changes_lengths(const clock::ClockMaps& maps, int clock) {
  return maps[static_cast<size_t>(clock)].kind != TC_MAP_OFFSET;
}

}  // namespace time_chaos::syscalls
