// The formula against 128-bit arithmetic. Every engine relies on this one function, so it is held
// to the last nanosecond over its whole stated range.
#include "time_chaos/abi/clock_map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "agent/clock/rate_map.h"

namespace time_chaos::clock {
namespace {

__extension__ using Wide = __int128;

constexpr int64_t kSec = TC_NSEC_PER_SEC;
constexpr int64_t kMaxDelta = std::numeric_limits<int64_t>::max();
constexpr int64_t kMinDelta = std::numeric_limits<int64_t>::min();
constexpr int64_t kMaxRate = (int64_t{1} << 60) - 1;

Wide wide(Reading r) {
  return static_cast<Wide>(r.sec) * kSec + r.nsec;
}

const tc_clock_table kNoTable{};

Reading applied(const tc_clock_map& map, Reading real, const tc_clock_table& table = kNoTable) {
  tc_map_apply(&map, &table, &real.sec, &real.nsec);
  return real;
}

bool same(const tc_clock_map& map, Reading real, Wide want) {
  const Reading got = applied(map, real);
  return got.nsec >= 0 && got.nsec < kSec && wide(got) == want;
}

// Where a clock with a rate stands still.
Wide held(Wide shown) {
  return std::clamp<Wide>(shown, 0, wide({TC_LAST_SEC, kSec - 1}));
}

Wide rate_result(const tc_clock_map& map, int64_t delta) {
  // >> of a negative value rounds down (gcc, clang): the floor of the formula.
  const int64_t rate = delta < 0 ? map.before : map.rate;
  return held(wide({map.fake_sec, map.fake_nsec}) + ((static_cast<Wide>(delta) * rate) >> 32));
}

tc_clock_map offset_of(Reading added) {
  tc_clock_map map{};
  map.fake_sec = added.sec;
  map.fake_nsec = added.nsec;
  map.until_sec = TC_NEVER;
  return map;
}

class Random {
 public:
  // Of every magnitude up to `bits` bits, both signs.
  int64_t of_bits(unsigned bits) {
    return static_cast<int64_t>(engine_()) >> (64 - bits + engine_() % bits);
  }
  int64_t nsec() {
    switch (engine_() % 8) {
      case 0:
        return 0;
      case 1:
        return kSec - 1;
      default:
        return static_cast<int64_t>(engine_() % static_cast<uint64_t>(kSec));
    }
  }
  Reading reading(unsigned bits) { return {of_bits(bits), nsec()}; }

 private:
  std::mt19937_64 engine_{20300101};
};

TEST(ClockMap, RatesAreExactOverRandomMaps) {
  Random random;
  for (int i = 0; i < 1'000'000; i++) {
    const Reading anchor = random.reading(i % 2 == 0 ? 33 : 61);
    const int64_t rate = std::clamp(
        i % 4 == 0 ? TC_RATE_ONE + random.of_bits(32) : random.of_bits(62), -kMaxRate, kMaxRate);
    const Reading shown = i % 3 == 0 ? random.reading(60) : random.reading(34);
    tc_clock_map map = make_rate_map_fixed(anchor, shown, rate);
    if (i % 8 == 0) set_rate_before(map, random.of_bits(61));
    const int64_t delta = random.of_bits(64);
    const Reading real = plus(anchor, std::chrono::nanoseconds(delta));
    ASSERT_TRUE(same(map, real, rate_result(map, delta)))
        << "rate " << map.rate << " delta " << delta << " anchor " << anchor.sec << '.'
        << anchor.nsec << " shown " << map.fake_sec << '.' << map.fake_nsec;
  }
}

TEST(ClockMap, RatesAreExactAtTheEdges) {
  const std::vector<int64_t> deltas = {0,
                                       1,
                                       -1,
                                       kSec - 1,
                                       kSec,
                                       kSec + 1,
                                       -kSec + 1,
                                       -kSec,
                                       -kSec - 1,
                                       kSec * 86'400,
                                       kMaxDelta - 1,
                                       kMaxDelta,
                                       kMinDelta,
                                       kMinDelta + 1,
                                       int64_t{1} << 32,
                                       -(int64_t{1} << 32),
                                       int64_t{1} << 62};
  const std::vector<int64_t> rates = {0,
                                      1,
                                      -1,
                                      TC_RATE_ONE,
                                      TC_RATE_ONE - 1,
                                      TC_RATE_ONE + 1,
                                      -TC_RATE_ONE,
                                      TC_RATE_ONE / 2,
                                      10 * TC_RATE_ONE,
                                      kSec,
                                      kSec - 1,
                                      kSec + 1,
                                      -kSec,
                                      kMaxRate,
                                      -kMaxRate};
  for (const int64_t delta : deltas) {
    for (const int64_t rate : rates) {
      for (const int64_t fake_nsec : {int64_t{0}, int64_t{1}, kSec - 1}) {
        for (const int64_t real_nsec : {int64_t{0}, kSec / 2, kSec - 1}) {
          const Reading anchor{1'900'000'000, real_nsec};
          const tc_clock_map map = make_rate_map_fixed(anchor, {2'000'000'000, fake_nsec}, rate);
          EXPECT_TRUE(
              same(map, plus(anchor, std::chrono::nanoseconds(delta)), rate_result(map, delta)))
              << "rate " << rate << " delta " << delta << ' ' << fake_nsec << ' ' << real_nsec;
        }
      }
    }
  }
}

TEST(ClockMap, AClockWithARateStandsStillAtTheEndsOfTime) {
  const tc_clock_map back = make_rate_map({1000, 0}, {5, 500}, -1);
  EXPECT_EQ(applied(back, {1005, 500}), (Reading{0, 0}));
  EXPECT_EQ(applied(back, {1005, 501}), (Reading{0, 0}));
  EXPECT_EQ(applied(back, {900'000'000, 0}), (Reading{0, 0}));
  const tc_clock_map fast = make_rate_map({1000, 0}, {TC_LAST_SEC - 9, 7}, 10);
  EXPECT_EQ(applied(fast, {1000, 900'000'000}), (Reading{TC_LAST_SEC, 7}));
  EXPECT_EQ(applied(fast, {1001, 0}), (Reading{TC_LAST_SEC, kSec - 1}));
  EXPECT_EQ(applied(fast, {9'000'000'000, 0}), (Reading{TC_LAST_SEC, kSec - 1}));
}

TEST(ClockMap, ACornerTurnsAtTheAnchor) {
  tc_clock_map map = make_rate_map({1000, 0}, {1000, 0}, 0);
  set_rate_before(map, TC_RATE_ONE);
  EXPECT_EQ(applied(map, {999, 1}), (Reading{999, 1}));
  EXPECT_EQ(applied(map, {999, kSec - 1}), (Reading{999, kSec - 1}));
  EXPECT_EQ(applied(map, {1000, 0}), (Reading{1000, 0}));
  EXPECT_EQ(applied(map, {1000, 1}), (Reading{1000, 0}));
}

TEST(ClockMap, OffsetsAreExact) {
  Random random;
  for (int i = 0; i < 1'000'000; i++) {
    const Reading added = i % 16 == 0 ? Reading{-1, kSec - 1} : random.reading(62);
    const Reading real = random.reading(62);
    ASSERT_TRUE(same(offset_of(added), real, wide(real) + wide(added)))
        << added.sec << '.' << added.nsec << " at " << real.sec << '.' << real.nsec;
  }
}

TEST(ClockMap, OffsetsCarryAndBorrow) {
  const tc_clock_map back = offset_of({-1, kSec - 1});    // -1ns
  const tc_clock_map forward = offset_of({0, kSec - 1});  // +999999999ns
  EXPECT_EQ(applied(back, {5, 0}), (Reading{4, kSec - 1}));
  EXPECT_EQ(applied(back, {0, 0}), (Reading{-1, kSec - 1}));
  EXPECT_EQ(applied(back, {5, 1}), (Reading{5, 0}));
  EXPECT_EQ(applied(forward, {5, 0}), (Reading{5, kSec - 1}));
  EXPECT_EQ(applied(forward, {5, 1}), (Reading{6, 0}));
  EXPECT_EQ(applied(forward, {5, kSec - 1}), (Reading{6, kSec - 2}));
}

TEST(ClockMap, AMapEndsExactlyAtUntil) {
  tc_clock_map offset = offset_of({3600, 0});
  tc_clock_map rate = make_rate_map({1000, 0}, {5000, 0}, 0);
  for (tc_clock_map* map : {&offset, &rate}) {
    map->until_sec = 2000;
    map->until_nsec = 500;
    map->after_sec = 7;
    map->after_nsec = kSec - 1;
    const bool is_rate = map->kind == TC_MAP_RATE;
    EXPECT_EQ(applied(*map, {2000, 499}), is_rate ? (Reading{5000, 0}) : (Reading{5600, 499}));
    EXPECT_EQ(applied(*map, {1999, kSec - 1}),
              is_rate ? (Reading{5000, 0}) : (Reading{5599, kSec - 1}));
    EXPECT_EQ(applied(*map, {2000, 500}), (Reading{2008, 499}));
    EXPECT_EQ(applied(*map, {2001, 0}), (Reading{2008, kSec - 1}));
  }
}

TEST(ClockMap, AMapOfZerosIsTheIdentity) {
  const tc_clock_map zeros{};
  Random random;
  for (int i = 0; i < 1'000; i++) {
    const Reading real = random.reading(62);
    EXPECT_EQ(applied(zeros, real), real);
  }
  for (const Reading real : {Reading{0, 0}, Reading{-1, kSec - 1}, Reading{0, 1}}) {
    EXPECT_EQ(applied(zeros, real), real);
  }
}

TEST(ClockMap, TheLatchSelectsTheCopy) {
  const tc_clock_page page{};
  EXPECT_EQ(tc_page_maps(&page, 0), page.maps0);
  EXPECT_EQ(tc_page_maps(&page, 2048), page.maps1);
  EXPECT_EQ(tc_page_maps(&page, 4096), page.maps0);
  EXPECT_EQ(tc_page_maps(&page, 0xfffff7ff), page.maps0);
}

TEST(ClockMap, TheNextLatchSelectsTheOtherCopyAndDiffersInOneByte) {
  const tc_clock_page page{};
  uint32_t latch = 0x12345678;
  for (int i = 0; i < 100; i++) {
    const uint32_t next = tc_next_latch(latch);
    EXPECT_NE(tc_page_maps(&page, next), tc_page_maps(&page, latch));
    EXPECT_EQ((next ^ latch) & ~0xff00U, 0U);
    latch = next;
  }
}

// Undefined behaviour here would be the agent's, by a target's hand: the page is the target's.
TEST(ClockMap, APageFullOfGarbageIsReadWithoutOverflow) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 10'000; i++) {
    tc_clock_map map{};
    map.kind = static_cast<uint32_t>(random() % 4);
    for (int64_t* field :
         {&map.fake_sec, &map.fake_nsec, &map.real_sec, &map.real_nsec, &map.rate, &map.rate_sec,
          &map.until_sec, &map.after_sec, &map.after_nsec, &map.before, &map.before_sec}) {
      *field = random() % 4 == 0 ? kMinDelta : static_cast<int64_t>(random());
    }
    tc_clock_table table{};
    for (size_t at = 0; at < sizeof table; at += sizeof(uint64_t)) {
      const uint64_t word = random() % 4 == 0 ? 0 : random() >> (random() % 64);
      std::memcpy(reinterpret_cast<char*>(&table) + at, &word, sizeof word);
    }
    Reading real{1'900'000'000, kSec - 1};
    (void)applied(map, real, table);  // the sanitizer build looks at it
  }
}

TEST(RateMap, KeepsTheAnchorTheRateAndNeverEnds) {
  const tc_clock_map map = make_rate_map({100, 1}, {200, 2}, 1.5);
  EXPECT_EQ(map.kind, static_cast<uint32_t>(TC_MAP_RATE));
  EXPECT_EQ(map.rate, TC_RATE_ONE + TC_RATE_ONE / 2);
  EXPECT_EQ(map.until_sec, TC_NEVER);
  EXPECT_EQ(map.before, map.rate);
  EXPECT_EQ(map.before_sec, map.rate_sec);
  EXPECT_EQ(applied(map, {100, 1}), (Reading{200, 2}));
  EXPECT_EQ(applied(map, {102, 1}), (Reading{203, 2}));
  EXPECT_EQ(applied(map, {98, 1}), (Reading{197, 2}));
}

TEST(RateMap, EstimatesSecondsByTheFloor) {
  for (const int64_t rate : {int64_t{0}, int64_t{1}, int64_t{-1}, TC_RATE_ONE, -TC_RATE_ONE, kSec,
                             -kSec, kMaxRate, -kMaxRate, int64_t{123'456'789'012'345}}) {
    const Wide product = static_cast<Wide>(rate) * TC_RATE_ONE;
    Wide floor = product / kSec;
    if (product % kSec < 0) floor -= 1;
    EXPECT_TRUE(make_rate_map_fixed({}, {}, rate).rate_sec == floor) << rate;
  }
}

TEST(RateMap, HoldsTheRateInRange) {
  EXPECT_EQ(make_rate_map({}, {}, 1e300).rate, kMaxRate);
  EXPECT_EQ(make_rate_map({}, {}, -1e300).rate, -kMaxRate);
  EXPECT_EQ(make_rate_map({}, {}, kRateLimit).rate, kMaxRate);
  EXPECT_EQ(make_rate_map({}, {}, std::numeric_limits<double>::quiet_NaN()).rate, 0);
  EXPECT_EQ(make_rate_map({}, {}, std::ldexp(1.0, -32)).rate, 1);
  EXPECT_EQ(make_rate_map({}, {}, -1).rate, -TC_RATE_ONE);
}

}  // namespace
}  // namespace time_chaos::clock
