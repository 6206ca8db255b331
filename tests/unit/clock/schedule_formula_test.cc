// Schedules in the formula against 128-bit arithmetic, written another way.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "agent/clock/rate_map.h"
#include "time_chaos/abi/clock_map.h"

namespace time_chaos::clock {
namespace {

__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;

Wide floor_32(Wide product) {
  return product >> 32;  // rounds down, for negative values as well
}

uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

Wide knot(const tc_clock_table& table, uint64_t index) {
  if (index == 0) return 0;
  const auto hash = static_cast<int64_t>(mixed(table.jitter_seed + index * 0x9e3779b97f4a7c15U));
  return (static_cast<Wide>(hash) * table.jitter_span) >> 64;
}

Wide jittered(const tc_clock_table& table, Wide t) {
  if (table.jitter_shift == 0 || t < 0) return t;
  const Wide length = Wide{1} << table.jitter_shift;
  const auto index = static_cast<uint64_t>(t / length);
  const Wide from = knot(table, index);
  const Wide way = knot(table, index + 1) - from;
  return t + from + ((way * (t % length)) >> table.jitter_shift);
}

Wide expected(const tc_clock_map& map, const tc_clock_table& table, Wide since) {
  const Wide shown = static_cast<Wide>(map.fake_sec) * TC_NSEC_PER_SEC + map.fake_nsec;
  const Wide last = static_cast<Wide>(TC_LAST_SEC) * TC_NSEC_PER_SEC + TC_NSEC_PER_SEC - 1;
  const auto held = [&](Wide more) { return std::clamp<Wide>(shown + more, 0, last); };
  const Wide t = std::min<Wide>(jittered(table, since), table.horizon);
  if (t < 0) return held(floor_32(t * map.before));
  Wide in_round = t;
  Wide sum = 0;
  while (table.period != 0 && in_round >= table.loop_at + Wide{table.period}) {
    in_round -= table.period;
    sum += table.gain;
  }
  const tc_segment* line = nullptr;
  for (const tc_segment& segment : table.segments) {
    if (line == nullptr || in_round >= segment.at) line = &segment;
  }
  return held(sum + line->base + floor_32(t * map.rate + (in_round - line->at) * line->rate));
}

class Random {
 public:
  uint64_t below(uint64_t bound) { return engine_() % bound; }
  int64_t signed_below(int64_t bound) {
    const auto value = static_cast<int64_t>(below(static_cast<uint64_t>(bound)));
    return below(2) == 0 ? value : -value;
  }
  tc_clock_table table() {
    tc_clock_table table{};
    const uint64_t count = 1 + below(TC_SEGMENT_COUNT);
    uint64_t at = 0;
    for (uint64_t i = 0; i < TC_SEGMENT_COUNT; i++) {
      table.segments[i] = {i < count ? at : TC_NO_SEGMENT, signed_below(int64_t{1} << 40),
                           signed_below(int64_t{1} << 33)};
      at += 1 + below(uint64_t{1} << (1 + below(36)));
    }
    if (below(2) == 0) {
      // Not so short that the slow way above takes long.
      table.loop_at = table.segments[below(count)].at;
      table.period = 1'000'000 + below(uint64_t{1} << 38);
      table.gain = signed_below(int64_t{1} << 38);
    }
    table.horizon = below(4) == 0 ? below(uint64_t{1} << 38) : uint64_t{1} << 61;
    if (below(2) == 0) {
      table.jitter_seed = engine_();
      table.jitter_span = static_cast<int64_t>(below(uint64_t{1} << 34));
      table.jitter_shift = 1 + below(45);
    }
    return table;
  }

 private:
  std::mt19937_64 engine_{20161231};
};

TEST(ScheduleFormula, IsExactOverRandomTables) {
  Random random;
  for (int i = 0; i < 300'000; i++) {
    const tc_clock_table table = random.table();
    const Reading real{static_cast<int64_t>(random.below(4'000'000'000)),
                       static_cast<int64_t>(random.below(TC_NSEC_PER_SEC))};
    const Reading shown{static_cast<int64_t>(random.below(TC_LAST_SEC)),
                        static_cast<int64_t>(random.below(TC_NSEC_PER_SEC))};
    tc_clock_map map = make_rate_map_fixed(real, shown, random.signed_below(int64_t{1} << 34));
    set_rate_before(map, random.signed_below(int64_t{1} << 34));
    map.kind = TC_MAP_SCHEDULE;
    int64_t since = random.signed_below(int64_t{1} << (1 + random.below(39)));
    // At the very instants at which something changes.
    if (random.below(3) == 0) {
      const uint64_t at = table.segments[random.below(TC_SEGMENT_COUNT)].at;
      if (at != TC_NO_SEGMENT) since = static_cast<int64_t>(at) + random.signed_below(2);
    } else if (random.below(3) == 0 && table.period != 0) {
      since = static_cast<int64_t>(table.loop_at + table.period * random.below(4)) +
              random.signed_below(2);
    }
    Reading got = plus(real, std::chrono::nanoseconds(since));
    tc_map_apply(&map, &table, &got.sec, &got.nsec);
    ASSERT_TRUE(got.nsec >= 0 && got.nsec < TC_NSEC_PER_SEC);
    ASSERT_TRUE(static_cast<Wide>(got.sec) * TC_NSEC_PER_SEC + got.nsec ==
                expected(map, table, since))
        << "round " << i << " at " << since << " shows " << got.sec << '.' << got.nsec;
  }
}

// A schedule that does nothing is the clock's own rate.
TEST(ScheduleFormula, ALineIsALine) {
  Random random;
  tc_clock_table table{};
  for (tc_segment& segment : table.segments) segment.at = TC_NO_SEGMENT;
  table.segments[0] = {0, 0, 0};
  table.horizon = uint64_t{1} << 61;
  for (int i = 0; i < 100'000; i++) {
    tc_clock_map map = make_rate_map_fixed({1'000'000, 5}, {2'000'000, 7},
                                           static_cast<int64_t>(random.below(uint64_t{1} << 33)));
    Reading a{1'000'000 + random.signed_below(900'000),
              static_cast<int64_t>(random.below(TC_NSEC_PER_SEC))};
    Reading b = a;
    tc_map_apply(&map, &table, &a.sec, &a.nsec);
    map.kind = TC_MAP_SCHEDULE;
    tc_map_apply(&map, &table, &b.sec, &b.nsec);
    ASSERT_EQ(a, b);
  }
}

}  // namespace
}  // namespace time_chaos::clock
