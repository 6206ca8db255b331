#include "agent/clock/plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace time_chaos::clock {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

HostReadings host() {
  HostReadings now{};
  now.fill({1'790'000'000, 0});
  return now;
}

struct Drawn {
  MapPlan plan;
  Plot plot;
};
Drawn drawn(const ClockSpec& spec, size_t columns, std::optional<nanoseconds> span = std::nullopt) {
  Drawn out{plan_shift(spec, identity_maps(), host(), std::nullopt).value(), {}};
  out.plot = sample({words(spec), &out.plan, 0, host()[0], span.value_or(span_of(spec, out.plan))},
                    columns);
  return out;
}

ClockSpec strobe() {
  ClockSpec spec;
  spec.strobe = Strobe{milliseconds(200), seconds(1)};
  return spec;
}

TEST(Plot, LooksAtAllOfTheTime) {
  ClockSpec spec;
  spec.rate = 2 * TC_RATE_ONE;
  const Plot plot = drawn(spec, 10, seconds(10)).plot;
  ASSERT_EQ(plot.columns.size(), 10U);
  for (size_t i = 0; i < 10; i++) {
    EXPECT_EQ(plot.columns[i].after, seconds(i));
    EXPECT_EQ(plot.columns[i].low, seconds(i));
    EXPECT_EQ(plot.columns[i].high, seconds(i + 1));
  }
  EXPECT_EQ(plot.end.shown, (Reading{1'790'000'020, 0}));
  // A century does not overflow.
  EXPECT_EQ(drawn(spec, 100, hours(24 * 365 * 100)).plot.end.after, hours(24 * 365 * 100));
}

TEST(Plot, ShowsAStrobeAsABandWhereItIsTooFast) {
  const Plot plot = drawn(strobe(), 8, seconds(80)).plot;
  for (const Column& column : plot.columns) {
    EXPECT_EQ(column.low, nanoseconds(0));
    EXPECT_EQ(column.high, milliseconds(200));
  }
}

TEST(Plot, TakesAsLongAsSomethingHappens) {
  EXPECT_EQ(drawn(strobe(), 8).plot.span, seconds(6));
  ClockSpec leap;
  leap.leap = Leap::kInsert;
  leap.date = Reading{1'483'228'780, 0};
  EXPECT_EQ(drawn(leap, 8).plot.span, seconds(25));
  ClockSpec drift;
  drift.rate = TC_RATE_ONE + 1;
  EXPECT_EQ(drawn(drift, 8).plot.span, seconds(60));
}

TEST(Draw, IsAsWideAndHighAsAsked) {
  const std::string text = draw(drawn(strobe(), 60).plot, 76, 12);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11);
  EXPECT_THAT(text, StartsWith("strobe +200ms every 1s: how far it is ahead of real time\n"
                               "        +200ms |         *"));
  EXPECT_THAT(text, HasSubstr("           +0s |**********.........***"));
  EXPECT_THAT(text, HasSubstr("after 6s\n"));
  EXPECT_THAT(text, HasSubstr("at first it shows 2026-09-21T14:13:20Z, real 2026-09-21T14:13:20Z"));
  for (const char c : text) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~'));
}

// A leap second beside an offset of years would be a straight line.
TEST(Draw, CountsFromTheOffsetWhereThatIsFarAway) {
  ClockSpec spec = strobe();
  spec.offset = -hours(1);
  const std::string text = draw(drawn(spec, 60).plot, 76, 12);
  EXPECT_THAT(text, HasSubstr("how far it is ahead of real time and -1h\n        +200ms |"));
}

TEST(Svg, IsADocument) {
  ClockSpec spec = strobe();
  Plot plot = drawn(spec, 200).plot;
  plot.title = "<a> & b";
  const std::string text = svg(plot);
  EXPECT_THAT(text, StartsWith("<svg xmlns="));
  EXPECT_THAT(text, EndsWith("</svg>\n"));
  EXPECT_THAT(text, HasSubstr("&lt;a&gt; &amp; b"));
  EXPECT_THAT(text, HasSubstr("+200ms"));
  EXPECT_THAT(text, HasSubstr("real time, after 6s"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '<'), std::count(text.begin(), text.end(), '>'));
  // Every point is inside of its panel.
  EXPECT_THAT(text, testing::Not(HasSubstr("nan")));
  EXPECT_THAT(text, testing::Not(HasSubstr("inf")));
}

TEST(Label, IsADateOrSeconds) {
  EXPECT_EQ(label(0, {1'893'456'000, 250'900'000}), "2030-01-01T00:00:00.25Z");
  EXPECT_EQ(label(1, {86'400, 250'900'000}), "86400.250s");
}

}  // namespace
}  // namespace time_chaos::clock
