#include "agent/clock/rate_map.h"

#include <algorithm>
#include <cmath>

namespace time_chaos::clock {
namespace {

constexpr int64_t kLargestRate = (int64_t{1} << 60) - 1;

// floor(rate * 2^32 / 1e9), in two halves so that 64 bits are enough: the rest of the first
// division is below 1e9 < 2^30. The result is below 2^62.2.
int64_t seconds_estimate(int64_t rate) {
  int64_t whole = rate / TC_NSEC_PER_SEC;
  int64_t rest = rate % TC_NSEC_PER_SEC;
  if (rest < 0) {
    rest += TC_NSEC_PER_SEC;
    whole -= 1;
  }
  return whole * TC_RATE_ONE + rest * TC_RATE_ONE / TC_NSEC_PER_SEC;
}

}  // namespace

tc_clock_map make_rate_map_fixed(Reading anchor_real, Reading anchor_fake, int64_t rate) {
  tc_clock_map map{};
  map.kind = TC_MAP_RATE;
  map.fake_sec = anchor_fake.sec;
  map.fake_nsec = anchor_fake.nsec;
  map.real_sec = anchor_real.sec;
  map.real_nsec = anchor_real.nsec;
  map.rate = std::clamp(rate, -kLargestRate, kLargestRate);
  map.rate_sec = seconds_estimate(map.rate);
  map.until_sec = TC_NEVER;
  map.before = map.rate;
  map.before_sec = map.rate_sec;
  return map;
}

void set_rate_before(tc_clock_map& map, int64_t rate) {
  map.before = std::clamp(rate, -kLargestRate, kLargestRate);
  map.before_sec = seconds_estimate(map.before);
}

tc_clock_map make_rate_map(Reading anchor_real, Reading anchor_fake, double rate) {
  if (std::isnan(rate)) rate = 0;
  const double held = std::clamp(rate, -kRateLimit, kRateLimit);
  return make_rate_map_fixed(anchor_real, anchor_fake, std::llround(std::ldexp(held, 32)));
}

}  // namespace time_chaos::clock
