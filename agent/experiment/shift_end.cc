// Until when what is shown holds.
#include <algorithm>

#include "agent/experiment/shift.h"

namespace time_chaos::experiment {

std::optional<Nanoseconds> initial_lease(const ShiftRequest& request) {
  if (!request.lease) return request.duration;
  if (!request.duration) return request.lease;
  return std::min(*request.lease, *request.duration);
}

std::optional<clock::Reading> end_of(const clock::ClockMaps& maps, clock::ClockSet clocks) {
  for (int c = 0; c < TC_CLOCK_COUNT; c++) {
    const tc_clock_map& map = maps[static_cast<size_t>(c)];
    if (clocks.has(c) && map.until_sec != TC_NEVER && !clock::is_monotonic(c)) {
      return clock::Reading{map.until_sec, map.until_nsec};
    }
  }
  return std::nullopt;
}

}  // namespace time_chaos::experiment
