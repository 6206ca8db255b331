// The inverse against the formula itself: what it names is the first reading at which the target's
// clock shows enough, found by trying every nanosecond where that is feasible.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>

#include "agent/clock/rate_map.h"
#include "time_chaos/abi/clock_wait.h"

namespace time_chaos::clock {
namespace {

__extension__ using Wide = __int128;

class Random {
 public:
  uint64_t bits(int most) { return engine_() >> (64 - 1 - below(static_cast<uint64_t>(most))); }
  uint64_t below(uint64_t bound) { return engine_() % bound; }
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(below(static_cast<uint64_t>(high - low) + 1));
  }

 private:
  std::mt19937_64 engine_{20261125};
};

Wide nanoseconds(int64_t sec, int64_t nsec) {
  return static_cast<Wide>(sec) * TC_NSEC_PER_SEC + nsec;
}

tc_instant instant(Wide ns) {
  Wide sec = ns / TC_NSEC_PER_SEC;
  if (sec * TC_NSEC_PER_SEC > ns) sec--;
  return {static_cast<int64_t>(sec), static_cast<int64_t>(ns - sec * TC_NSEC_PER_SEC)};
}

struct Clock {
  tc_clock_map map{};
  tc_clock_table table{};

  [[nodiscard]] Wide shown(Wide real) const {
    auto [sec, nsec] = instant(real);
    tc_map_apply(&map, &table, &sec, &nsec);
    return nanoseconds(sec, nsec);
  }
  // Nothing: no end in sight.
  [[nodiscard]] std::optional<Wide> reaches(Wide now, Wide deadline) const {
    const tc_instant begin = instant(now);
    auto [sec, nsec] = instant(deadline);
    const bool found = tc_map_deadline(&map, &table, begin.sec, begin.nsec, &sec, &nsec);
    EXPECT_GE(nsec, 0);
    EXPECT_LT(nsec, TC_NSEC_PER_SEC);
    if (!found) {
      EXPECT_EQ(sec, TC_LAST_SEC);
      return std::nullopt;
    }
    return nanoseconds(sec, nsec);
  }
  [[nodiscard]] Wide anchor() const { return nanoseconds(map.real_sec, map.real_nsec); }
};

Clock unending(tc_map_kind kind) {
  Clock clock;
  clock.map.kind = kind;
  clock.map.until_sec = TC_NEVER;
  clock.map.fake_sec = 2'000'000;
  clock.map.fake_nsec = 999'999'999;
  clock.map.real_sec = 1'000'000;
  clock.map.real_nsec = 5;
  return clock;
}

void set_rates(Clock& clock, int64_t rate, int64_t before) {
  const auto kind = clock.map.kind;
  clock.map = make_rate_map_fixed({clock.map.real_sec, clock.map.real_nsec},
                                  {clock.map.fake_sec, clock.map.fake_nsec}, rate);
  set_rate_before(clock.map, before);
  clock.map.kind = kind;
}

TEST(Unscaled, IsTheExactQuotient) {
  Random random;
  for (int i = 0; i < 300'000; i++) {
    const uint64_t value = random.bits(63);
    const auto rate = static_cast<int64_t>(1 + random.bits(59));
    const Wide wide = static_cast<Wide>(value) << 32;
    const Wide down = wide / rate;
    const Wide up = (wide + rate - 1) / rate;
    const auto held = [](Wide x) { return x > INT64_MAX ? TC_ENDLESS : static_cast<int64_t>(x); };
    ASSERT_EQ(tc_unscaled(value, rate, false), held(down)) << value << " / " << rate;
    ASSERT_EQ(tc_unscaled(value, rate, true), held(up)) << value << " / " << rate;
  }
  EXPECT_EQ(tc_unscaled(5, 0, true), TC_ENDLESS);
  EXPECT_EQ(tc_unscaled(5, -1, true), TC_ENDLESS);
}

TEST(Deadline, OfAnOffsetIsTakenOff) {
  Clock clock = unending(TC_MAP_OFFSET);
  const Wide offset = nanoseconds(clock.map.fake_sec, clock.map.fake_nsec);
  for (const Wide deadline : {offset, offset + 1, offset - 1, 3 * offset, Wide{0}}) {
    EXPECT_TRUE(clock.reaches(0, deadline) == deadline - offset);
  }
}

TEST(Deadline, ForEverStaysForEver) {
  for (const tc_map_kind kind : {TC_MAP_OFFSET, TC_MAP_RATE, TC_MAP_SCHEDULE}) {
    const Clock clock = unending(kind);
    for (const int64_t sec : {INT64_MAX, TC_LAST_SEC + 1, INT64_MAX / 2}) {
      EXPECT_FALSE(clock.reaches(0, nanoseconds(sec, 0)).has_value());
    }
  }
}

TEST(Deadline, BehindTheEndOfAMapIsThatOfTheRealClock) {
  for (const tc_map_kind kind : {TC_MAP_OFFSET, TC_MAP_RATE, TC_MAP_SCHEDULE}) {
    Clock clock = unending(kind);
    clock.map.until_sec = 50;
    clock.map.after_sec = 7;
    EXPECT_TRUE(clock.reaches(nanoseconds(50, 0), nanoseconds(100, 3)) == nanoseconds(93, 3));
  }
}

TEST(Deadline, OfARateIsTheFirstReadingThatShowsIt) {
  Random random;
  int ahead = 0;
  for (int i = 0; i < 200'000; i++) {
    Clock clock = unending(TC_MAP_RATE);
    const auto rate = [&] {
      switch (random.below(4)) {
        case 0:
          return TC_RATE_ONE + random.between(-1'000'000, 1'000'000);
        case 1:
          return random.between(-1, 2) * TC_RATE_ONE;
        default:
          return random.between(-100, 1 << 30) << random.below(6);
      }
    };
    set_rates(clock, rate(), rate());
    const Wide now = clock.anchor() + random.between(-(1LL << random.below(50)), 1LL << 50);
    const Wide deadline = clock.shown(now) + random.between(-2, 1LL << (1 + random.below(50)));
    if (deadline <= 0) continue;  // a clock shows that always
    const std::optional<Wide> real = clock.reaches(now, deadline);
    if (!real) {
      ASSERT_LT(clock.map.rate, 1'000'000) << "so slow that it takes centuries";
      ASSERT_TRUE(clock.shown(now) < deadline);
    } else if (*real <= now) {
      ASSERT_TRUE(clock.shown(now) >= deadline);
    } else {
      ahead++;
      ASSERT_TRUE(clock.shown(*real) >= deadline);
      ASSERT_TRUE(clock.shown(*real - 1) < deadline);
    }
  }
  EXPECT_GT(ahead, 50'000);
}

// Small enough to be searched through.
Clock small_schedule(Random& random) {
  Clock clock = unending(TC_MAP_SCHEDULE);
  const auto rate = [&] { return random.between(-2, 4) * TC_RATE_ONE / random.between(1, 3); };
  set_rates(clock, rate(), TC_RATE_ONE);
  const uint64_t count = 1 + random.below(TC_SEGMENT_COUNT);
  uint64_t at = 0;
  for (uint64_t i = 0; i < TC_SEGMENT_COUNT; i++) {
    clock.table.segments[i] = {i < count ? at : TC_NO_SEGMENT, random.between(-600, 600), rate()};
    at += 1 + random.below(300);
  }
  if (random.below(2) == 0) {
    clock.table.loop_at = clock.table.segments[random.below(count)].at;
    clock.table.period = 1 + random.below(2000);
    clock.table.gain = random.between(-300, 900);
  }
  clock.table.horizon = random.below(8) == 0 ? random.below(5000) : uint64_t{1} << 59;
  return clock;
}

std::optional<Wide> searched(const Clock& clock, Wide now, Wide deadline) {
  for (Wide real = now; real < now + 40'000; real++) {
    if (clock.shown(real) >= deadline) return real;
  }
  return std::nullopt;
}

TEST(Deadline, OfAScheduleIsTheFirstReadingThatShowsIt) {
  Random random;
  int jumps = 0, ends = 0;
  for (int i = 0; i < 10'000; i++) {
    const Clock clock = small_schedule(random);
    const Wide now = clock.anchor() + random.between(-500, 9000);
    const Wide deadline = clock.shown(now) + random.between(-5, 1 << (1 + random.below(13)));
    const std::optional<Wide> real = clock.reaches(now, deadline);
    const std::optional<Wide> first = searched(clock, now, deadline);
    if (real && *real < now) {
      // In front of the anchor a map still knows what lies behind.
      ASSERT_TRUE(first == now) << i;
      continue;
    }
    if (!real || *real >= now + 40'000) {
      ends++;
      ASSERT_FALSE(first.has_value()) << i;
      continue;
    }
    ASSERT_TRUE(first.has_value()) << i;
    // A rounded sum can reach it a nanosecond of the target's before its parts do; where that was
    // the highest place of its round, it is the next one's.
    ASSERT_GE(static_cast<int64_t>(*real - *first), 0) << i;
    const int64_t gain =
        clock.table.gain + tc_scaled(static_cast<int64_t>(clock.table.period), clock.map.rate);
    const bool barely = clock.table.period != 0 && clock.shown(*first) == deadline;
    if (barely && gain < 10) continue;  // many rounds for a nanosecond
    const int64_t late = barely ? std::max<int64_t>(7, clock.table.period) : 7;
    ASSERT_LE(static_cast<int64_t>(*real - *first), late) << i;
    if (clock.shown(*first) > deadline + 20) jumps++;
  }
  EXPECT_GT(jumps, 100);
  EXPECT_GT(ends, 100);
}

TEST(Deadline, OfAClockThatJittersIsNeverEarly) {
  Random random;
  for (int i = 0; i < 10'000; i++) {
    Clock clock = small_schedule(random);
    // Only forwards: jitter steps over a peak at will.
    set_rates(clock, random.between(1, 3) * TC_RATE_ONE, TC_RATE_ONE);
    clock.table.period = 0;
    for (int64_t s = 0; s < TC_SEGMENT_COUNT; s++) {
      clock.table.segments[s].base = s * random.between(0, 2) * 100;
      clock.table.segments[s].rate = 0;
      if (s > 0 && clock.table.segments[s].base < clock.table.segments[s - 1].base) {
        clock.table.segments[s].base = clock.table.segments[s - 1].base;
      }
    }
    clock.table.jitter_seed = random.bits(64);
    clock.table.jitter_shift = 4 + random.below(6);
    clock.table.jitter_span = random.between(0, 1LL << clock.table.jitter_shift);
    clock.table.horizon = uint64_t{1} << 59;
    const Wide now = clock.anchor() + random.between(0, 9000);
    const Wide deadline = clock.shown(now) + random.between(0, 1 << (1 + random.below(11)));
    const std::optional<Wide> real = clock.reaches(now, deadline);
    if (!real || *real >= now + 30'000) continue;
    const std::optional<Wide> first = searched(clock, now, deadline);
    ASSERT_TRUE(first.has_value()) << i;
    ASSERT_GE(static_cast<int64_t>(*real - *first), 0) << i;
    ASSERT_LE(static_cast<int64_t>(*real - *first), clock.table.jitter_span + 2) << i;
  }
}

TEST(Wait, PassesAtTheRateOfItsClock) {
  Clock clock = unending(TC_MAP_RATE);
  set_rates(clock, 2 * TC_RATE_ONE, TC_RATE_ONE);
  const auto wait = [&](int64_t ns) {
    return tc_map_wait(&clock.map, &clock.table, clock.map.real_sec + 9, clock.map.real_nsec, ns);
  };
  const auto passed = [&](int64_t ns) {
    return tc_map_passed(&clock.map, &clock.table, clock.map.real_sec + 9, clock.map.real_nsec, ns);
  };
  EXPECT_EQ(wait(1'000'000'000), 500'000'000);
  EXPECT_EQ(passed(500'000'000), 1'000'000'000);
  EXPECT_EQ(wait(0), 0);
  EXPECT_EQ(wait(INT64_MAX), TC_ENDLESS);
  set_rates(clock, TC_RATE_ONE / 4, TC_RATE_ONE);
  EXPECT_EQ(wait(1'000'000'000), 4'000'000'000);
  set_rates(clock, 0, TC_RATE_ONE);
  EXPECT_EQ(wait(1), TC_ENDLESS);
  EXPECT_EQ(passed(1'000'000'000), 0);
  clock.map.kind = TC_MAP_OFFSET;
  EXPECT_EQ(wait(17), 17);
  EXPECT_EQ(passed(17), 17);
}

TEST(Wait, IsNeverShorterThanWhatPasses) {
  Random random;
  for (int i = 0; i < 20'000; i++) {
    Clock clock = unending(TC_MAP_RATE);
    set_rates(clock, random.between(1, 1LL << (20 + random.below(16))), TC_RATE_ONE);
    const int64_t wait = random.between(0, 1LL << random.below(40));
    const int64_t now = clock.map.real_sec + random.between(0, 1'000'000);
    const int64_t real = tc_map_wait(&clock.map, &clock.table, now, 123, wait);
    if (real == TC_ENDLESS) continue;
    ASSERT_GE(tc_map_passed(&clock.map, &clock.table, now, 123, real), wait);
  }
}

// One of a rate or of a schedule, the wait that begins at `now`, and the one that is looked for.
TEST(Wait, EndsAtTheFirstReadingThatShowsItsLength) {
  Random random;
  int longer = 0, shorter = 0;
  for (int i = 0; i < 10'000; i++) {
    Clock clock = small_schedule(random);
    if (random.below(2) == 0) {
      clock.map.kind = TC_MAP_RATE;
      set_rates(clock, random.between(-1, 1LL << 30) << random.below(6), TC_RATE_ONE);
    }
    const Wide now = clock.anchor() + random.between(0, 9000);
    const auto [sec, nsec] = instant(now);
    const int64_t wait = random.between(0, 1 << (1 + random.below(12)));
    const int64_t real = tc_map_wait(&clock.map, &clock.table, sec, nsec, wait);
    ASSERT_EQ(tc_map_wait(&clock.map, &clock.table, sec, nsec, 0), 0);
    ASSERT_EQ(real > 0, wait > 0) << i;
    const std::optional<Wide> first = searched(clock, now, clock.shown(now) + wait);
    if (!first) {
      ASSERT_GE(real, 40'000) << i;
      continue;
    }
    ASSERT_GE(real, static_cast<int64_t>(*first - now)) << i;
    (real > wait ? longer : shorter)++;
    if (clock.map.kind != TC_MAP_RATE) continue;  // Deadline.OfAScheduleIs... has its bounds
    ASSERT_EQ(real, static_cast<int64_t>(*first - now)) << i;
    ASSERT_GE(tc_map_passed(&clock.map, &clock.table, sec, nsec, real), wait) << i;
    ASSERT_TRUE(real == 0 || tc_map_passed(&clock.map, &clock.table, sec, nsec, real - 1) < wait)
        << i;
  }
  EXPECT_GT(longer, 1000);
  EXPECT_GT(shorter, 1000);
}

}  // namespace
}  // namespace time_chaos::clock
