#include "agent/clock/reading.h"

#include <limits>

#include "time_chaos/abi/clock_map.h"

namespace time_chaos::clock {

Reading as_reading(std::chrono::nanoseconds span) {
  Reading out{span.count() / TC_NSEC_PER_SEC, span.count() % TC_NSEC_PER_SEC};
  tc_normalise(&out.sec, &out.nsec);
  return out;
}

Reading plus(Reading reading, std::chrono::nanoseconds span) {
  const Reading step = as_reading(span);
  Reading out{reading.sec + step.sec, reading.nsec + step.nsec};
  tc_normalise(&out.sec, &out.nsec);
  return out;
}

std::chrono::nanoseconds minus(Reading a, Reading b) {
  using std::chrono::nanoseconds;
  const int64_t limit =
      a < b ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int64_t>::max();
  int64_t sec = 0;
  if (__builtin_sub_overflow(a.sec, b.sec, &sec)) return nanoseconds(limit);
  int64_t nsec = a.nsec - b.nsec;
  // Both of one sign, so that the product alone overflows only where the sum does.
  if (sec < 0 && nsec > 0) {
    sec += 1;
    nsec -= TC_NSEC_PER_SEC;
  } else if (sec > 0 && nsec < 0) {
    sec -= 1;
    nsec += TC_NSEC_PER_SEC;
  }
  int64_t whole = 0;
  int64_t sum = 0;
  if (__builtin_mul_overflow(sec, TC_NSEC_PER_SEC, &whole) ||
      __builtin_add_overflow(whole, nsec, &sum)) {
    return nanoseconds(limit);
  }
  return nanoseconds(sum);
}

}  // namespace time_chaos::clock
