// The long run: a drift of 200 ppm is shown to within 1 ppm of what has passed, after an hour of
// the host's readings, by the formula that the BPF program and the ptrace engine compile; the
// payload's is held to it in tests/unit/payload. Waits lie on the same line.
#include <gtest/gtest.h>

#include <cstdlib>

#include "agent/clock/clock_maps.h"
#include "agent/clock/rate.h"
#include "agent/clock/rate_map.h"
#include "time_chaos/abi/clock_wait.h"

namespace time_chaos::clock {
namespace {

constexpr int64_t kStep = 73'000'001;  // of simulated readings, ns
constexpr int64_t kHour = 3600 * TC_NSEC_PER_SEC;
constexpr int64_t kPerMillion = 1'000'000;

// 1 ppm of what has passed, and the nanosecond that a reading is cut to.
int64_t allowed(int64_t passed) {
  return passed / kPerMillion + 1;
}

TEST(Drift, IsShownToWithinOnePpmAfterAnHour) {
  for (const auto& [text, ppm] : {std::pair{"200ppm", 200}, {"-200ppm", -200}}) {
    const Reading anchor{1'800'000'000, 999'999'999};
    ClockMaps maps = identity_maps();
    maps[0] = make_rate_map_fixed(anchor, anchor, parse_drift(text).value());
    Reading last = anchor;
    for (int64_t passed = 0; passed <= kHour; passed += kStep) {
      Reading real = anchor;
      tc_add_nsec(&real.sec, &real.nsec, passed);
      const Reading shown = apply(maps, 0, real);
      const int64_t drift = tc_between(real.sec, real.nsec, shown.sec, shown.nsec);
      ASSERT_LE(std::abs(drift - passed / kPerMillion * ppm), allowed(passed)) << passed;
      ASSERT_GE(tc_between(last.sec, last.nsec, shown.sec, shown.nsec), 0);
      last = shown;
      const int64_t wait = tc_map_wait(&maps[0], &maps.table, real.sec, real.nsec, kHour);
      ASSERT_LE(std::abs(kHour - wait - kHour / kPerMillion * ppm), allowed(kHour)) << passed;
    }
  }
}

}  // namespace
}  // namespace time_chaos::clock
