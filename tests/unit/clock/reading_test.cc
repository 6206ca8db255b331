// Sums and differences of readings: carries, and saturation instead of overflow.
#include "agent/clock/reading.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;

constexpr int64_t kSec = 1'000'000'000;
constexpr nanoseconds kLargest = nanoseconds::max();
constexpr nanoseconds kSmallest = nanoseconds::min();

TEST(Reading, ASpanAsReadingIsNormalised) {
  EXPECT_EQ(as_reading(nanoseconds(-1)), (Reading{-1, kSec - 1}));
  EXPECT_EQ(as_reading(nanoseconds(-kSec)), (Reading{-1, 0}));
  EXPECT_EQ(as_reading(nanoseconds(kSec + 1)), (Reading{1, 1}));
  EXPECT_EQ(as_reading(kLargest), (Reading{9'223'372'036, 854'775'807}));
  EXPECT_EQ(as_reading(kSmallest), (Reading{-9'223'372'037, 145'224'192}));
}

TEST(Reading, MinusUndoesPlus) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 100'000; i++) {
    const Reading start{static_cast<int64_t>(random()) >> 3,
                        static_cast<int64_t>(random() % static_cast<uint64_t>(kSec))};
    const nanoseconds span(static_cast<int64_t>(random()) >> (random() % 64));
    const Reading end = plus(start, span);
    ASSERT_TRUE(end.nsec >= 0 && end.nsec < kSec);
    ASSERT_EQ(minus(end, start), span) << start.sec << '.' << start.nsec;
  }
}

TEST(Reading, MinusIsExactAtInt64AndSaturatesBeyond) {
  for (const int64_t nsec : {int64_t{0}, int64_t{1}, kSec / 2, kSec - 1}) {
    const Reading zero{0, nsec};
    EXPECT_EQ(minus(plus(zero, kLargest), zero), kLargest);
    EXPECT_EQ(minus(plus(zero, kSmallest), zero), kSmallest);
    EXPECT_EQ(minus(plus(plus(zero, kLargest), nanoseconds(-1)), zero), kLargest - nanoseconds(1));
    const nanoseconds above_smallest = kSmallest + nanoseconds(1);
    EXPECT_EQ(minus(plus(zero, above_smallest), zero), above_smallest);
    EXPECT_EQ(minus(plus(plus(zero, kLargest), nanoseconds(1)), zero), kLargest);
    EXPECT_EQ(minus(plus(plus(zero, kSmallest), nanoseconds(-1)), zero), kSmallest);
  }
  const int64_t far = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(minus({far, 0}, {-far, 0}), kLargest);
  EXPECT_EQ(minus({-far, 0}, {far, 0}), kSmallest);
}

}  // namespace
}  // namespace time_chaos::clock
