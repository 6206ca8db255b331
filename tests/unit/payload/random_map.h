// Random clock maps and readings inside the range in which the formula is exact (clock_map.h),
// with the awkward values much more often than chance would have them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>

#include "time_chaos/abi/clock_map.h"

namespace time_chaos::test {

struct Moment {
  int64_t sec = 0;
  int64_t nsec = 0;
};

class RandomMaps {
 public:
  explicit RandomMaps(uint64_t seed) : random_(seed) {}

  Moment moment() { return {seconds(), nanoseconds()}; }

  tc_clock_map map(const Moment& real) {
    tc_clock_map map{};
    map.fake_sec = seconds();
    map.fake_nsec = nanoseconds();
    const bool short_way = below(4) != 0;
    map.carry_nsec = short_way ? static_cast<uint32_t>(TC_NSEC_PER_SEC - map.fake_nsec) : 0;
    map.after_sec = seconds();
    map.after_nsec = nanoseconds();
    put_end(map, real);
    if (below(3) != 0) {
      map.kind = below(2) == 0 ? TC_MAP_RATE : TC_MAP_SCHEDULE;
      map.carry_nsec = 0;
      put_rate(map, real);
    }
    return map;
  }

  // For a schedule. Half of them are as the agent writes them, half full of garbage: both engines
  // must make the same of that, too.
  tc_clock_table table() {
    tc_clock_table table{};
    const bool garbage = below(2) == 0;
    const auto span = [&] {
      return garbage && below(3) == 0 ? random_() : random_() >> (64 - 1 - below(61));
    };
    const auto any = [&] { return static_cast<int64_t>(random_()) >> below(64); };
    if (below(2) == 0) {
      table.loop_at = span();
      table.period = span();
      table.gain = any();
    }
    table.horizon = below(2) == 0 ? uint64_t{1} << 61 : span();
    if (below(2) == 0) {
      table.jitter_seed = random_();
      table.jitter_span = any();
      table.jitter_shift = garbage ? random_() : 1 + below(55);
    }
    uint64_t at = 0;
    const uint64_t count = 1 + below(TC_SEGMENT_COUNT);
    for (uint64_t i = 0; i < TC_SEGMENT_COUNT; i++) {
      table.segments[i] = {i < count ? at : TC_NO_SEGMENT, any(), any()};
      if (garbage && below(8) == 0) table.segments[i].at = random_();
      at += span() / TC_SEGMENT_COUNT;
    }
    return table;
  }

  uint64_t below(uint64_t bound) { return random_() % bound; }

 private:
  __extension__ typedef __int128 Wide;

  int64_t between(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  int64_t seconds() {
    constexpr int64_t kMost = int64_t{1} << 60;  // sums of three stay within 2^62
    switch (below(6)) {
      case 0:
        return between(-2, 2);
      case 1:
        return between(0, 5'000'000'000);
      case 2:
        return between(-5'000'000'000, 0);
      case 3:
        return below(2) == 0 ? kMost : -kMost;
      default:
        return between(-kMost, kMost);
    }
  }
  int64_t nanoseconds() {
    switch (below(5)) {
      case 0:
        return 0;
      case 1:
        return TC_NSEC_PER_SEC - 1;
      default:
        return between(0, TC_NSEC_PER_SEC - 1);
    }
  }

  // Before, at and after the reading, mostly within the same second.
  void put_end(tc_clock_map& map, const Moment& real) {
    map.until_sec = TC_NEVER;
    switch (below(6)) {
      case 0:
        return;
      case 1:
        map.until_sec = real.sec;
        map.until_nsec = real.nsec;
        return;
      case 2:
        map.until_sec = real.sec;
        map.until_nsec = real.nsec == 0 ? 0 : real.nsec - 1;
        return;
      case 3:
        map.until_sec = real.sec;
        map.until_nsec = std::min(real.nsec + 1, TC_NSEC_PER_SEC - 1);
        return;
      case 4:
        map.until_sec = real.sec + between(-1, 1);
        map.until_nsec = nanoseconds();
        return;
      default:
        map.until_sec = seconds();
        map.until_nsec = nanoseconds();
    }
  }

  void put_rate(tc_clock_map& map, const Moment& real) {
    constexpr int64_t kMostDelta = 9'223'372'035;  // seconds in int64 nanoseconds, less one
    constexpr int64_t kMostRate = (int64_t{1} << 60) - 1;
    const int64_t delta = below(4) == 0 ? between(-kMostDelta, kMostDelta)
                                        : between(-1, 1) * between(0, int64_t{1} << below(33));
    map.real_sec = real.sec - delta;
    map.real_nsec = nanoseconds();
    switch (below(6)) {
      case 0:
        map.rate = between(-1, 1) * TC_RATE_ONE;  // backwards, frozen, real speed
        break;
      case 1:
        map.rate = between(0, TC_RATE_ONE);
        break;
      case 2:
        map.rate = TC_RATE_ONE + between(-5'000'000, 5'000'000);
        break;
      case 3:
        map.rate = below(2) == 0 ? kMostRate : -kMostRate;
        break;
      case 4:
        map.rate = between(-10, 10);
        break;
      default:
        map.rate = between(-kMostRate, kMostRate);
    }
    map.rate_sec = seconds_of(map.rate);
    map.before = below(2) == 0 ? TC_RATE_ONE : between(-kMostRate, kMostRate);
    map.before_sec = seconds_of(map.before);
    // So that results are not all beyond the ends of time, where they stand still.
    if (below(3) != 0) map.fake_sec = between(-100, 9'223'372'135);
  }

  // floor(rate / 1e9), from Q32.32 to Q0.64.
  static int64_t seconds_of(int64_t rate) {
    const Wide wide = static_cast<Wide>(rate) << 32;
    Wide quotient = wide / TC_NSEC_PER_SEC;
    if (quotient * TC_NSEC_PER_SEC > wide) quotient--;
    return static_cast<int64_t>(quotient);
  }

  std::mt19937_64 random_;
};

}  // namespace time_chaos::test
