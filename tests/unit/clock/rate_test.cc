#include "agent/clock/rate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/clock/clock_maps.h"
#include "agent/clock/rate_map.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::clock {
namespace {

TEST(Rate, IsANumber) {
  EXPECT_EQ(parse_rate("2").value(), 2 * TC_RATE_ONE);
  EXPECT_EQ(parse_rate("0.5").value(), TC_RATE_ONE / 2);
  EXPECT_EQ(parse_rate("+1").value(), TC_RATE_ONE);
  EXPECT_EQ(parse_rate("-1").value(), -TC_RATE_ONE);
  EXPECT_EQ(parse_rate("0").value(), 0);
  for (const char* text : {"", "x", "1x", "1,5", "nan", "inf", "1e3", "0x1", "--1", "1 ", " 1",
                           "268435456", "-268435456", "99999999999999999999"}) {
    const auto rate = parse_rate(text);
    ASSERT_FALSE(rate) << text;
    EXPECT_EQ(rate.error().kind(), Exit::kUsage);
    EXPECT_NE(rate.error().remedy(), "");
  }
  EXPECT_TRUE(parse_rate("268435455"));
}

TEST(Drift, HasAUnit) {
  EXPECT_EQ(parse_drift("0ppm").value(), TC_RATE_ONE);
  EXPECT_EQ(parse_drift("1000000ppm").value(), 2 * TC_RATE_ONE);
  EXPECT_EQ(parse_drift("-50%").value(), TC_RATE_ONE / 2);
  EXPECT_EQ(parse_drift("200ppm").value(), parse_drift("200000ppb").value());
  for (const char* text :
       {"", "200", "ppm", "xppm", "200 ppm", "200ppt", "%", "1e9%", "99999999999%"}) {
    EXPECT_FALSE(parse_drift(text)) << text;
  }
}

TEST(Rate, Words) {
  EXPECT_EQ(rate_words(TC_RATE_ONE), "");
  EXPECT_EQ(rate_words(0), "frozen");
  EXPECT_EQ(rate_words(2 * TC_RATE_ONE), "rate 2");
  EXPECT_EQ(rate_words(-TC_RATE_ONE), "rate -1");
  EXPECT_EQ(rate_words(TC_RATE_ONE / 2), "rate 0.5");
  EXPECT_EQ(rate_words(parse_rate("0.1").value()), "rate 0.1");
  EXPECT_EQ(rate_words(parse_drift("200ppm").value()), "drift +200ppm");
  EXPECT_EQ(rate_words(parse_drift("-0.5ppm").value()), "drift -0.5ppm");
}

// The long run: a reading every 7 ms, for an hour of simulated time, is where 200 ppm has to be to
// within 1 ppm of the time that has passed (and is, to the nanosecond).
TEST(Drift, IsRightOverAnHour) {
  for (const auto& [text, ppm] : {std::pair("200ppm", 200.0), {"-50ppm", -50.0}, {"1ppm", 1.0}}) {
    const Reading start{1'790'000'000, 123'456'789};
    ClockMaps maps = identity_maps();
    maps[0] = make_rate_map_fixed(start, start, parse_drift(text).value());
    Reading last = start;
    for (int64_t ns = 0; ns <= 3'600'000'000'000; ns += 7'000'003) {
      const Reading real = plus(start, std::chrono::nanoseconds(ns));
      const Reading shown = apply(maps, 0, real);
      ASSERT_GE(shown, last);
      last = shown;
      const double wanted = static_cast<double>(ns) * ppm / 1e6;
      const auto drifted = static_cast<double>(minus(shown, real).count());
      ASSERT_NEAR(drifted, wanted, 1 + static_cast<double>(ns) * 1e-9) << text << " after " << ns;
    }
    const auto hour = std::chrono::hours(1);
    const auto drifted = shift_at(maps, 0, plus(start, hour));
    EXPECT_NEAR(static_cast<double>(drifted.count()) / 3.6e6, ppm, 0.001) << text;
  }
}

}  // namespace
}  // namespace time_chaos::clock
