#include "agent/clock/date.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "time_chaos/abi/clock_page.h"

namespace time_chaos::clock {
namespace {

using testing::HasSubstr;

TEST(Date, TakesRfc3339AndSecondsSince1970) {
  const struct {
    const char* text;
    Reading wanted;
  } kDates[] = {{"1970-01-01T00:00:00Z", {0, 0}},
                {"2030-01-01T00:00:00Z", {1'893'456'000, 0}},
                {"2030-01-01t00:00:00z", {1'893'456'000, 0}},
                {"2030-01-01 00:00:00Z", {1'893'456'000, 0}},
                {"2030-01-01T02:00:00+02:00", {1'893'456'000, 0}},
                {"2029-12-31T18:30:00-05:30", {1'893'456'000, 0}},
                {"2030-01-01T00:00:00.25Z", {1'893'456'000, 250'000'000}},
                {"2030-01-01T00:00:00.1234567899Z", {1'893'456'000, 123'456'789}},
                {"2024-02-29T23:59:59Z", {1'709'251'199, 0}},
                {"2016-12-31T23:59:60Z", {1'483'228'800, 0}},
                {"2262-04-11T23:47:15Z", {TC_LAST_SEC, 0}},
                {"@0", {0, 0}},
                {"@-0", {0, 0}},
                {"@1893456000", {1'893'456'000, 0}},
                {"@1893456000.000000001", {1'893'456'000, 1}}};
  for (const auto& date : kDates) {
    const auto parsed = parse_date(date.text);
    ASSERT_TRUE(parsed) << date.text << ": " << parsed.error().line();
    EXPECT_EQ(*parsed, date.wanted) << date.text;
  }
}

TEST(Date, RefusesWhatIsNone) {
  for (const char* text : {"",
                           "@",
                           "@x",
                           "@1.",
                           "@1.x",
                           "@1 ",
                           "@0x10",
                           "@99999999999999999999",
                           "2030",
                           "2030-01-01",
                           "2030-13-01T00:00:00Z",
                           "2030-02-30T00:00:00Z",
                           "2030-01-00T00:00:00Z",
                           "2030-01-01T24:00:00Z",
                           "2030-01-01T00:60:00Z",
                           "2030-01-01T00:00:61Z",
                           "2030-01-01T00:00:00",
                           "2030-01-01T00:00Z",
                           "2030-01-01T00:00:00.Z",
                           "2030-01-01T00:00:00+2",
                           "2030-01-01T00:00:00+24:00",
                           "2030-01-01T00:00:00Zx",
                           "30-01-01T00:00:00Z",
                           "now",
                           "-2030-01-01T00:00:00Z",
                           "2030-01-01T00:00:00 Z"}) {
    const auto parsed = parse_date(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().kind(), Exit::kUsage) << text;
    EXPECT_NE(parsed.error().remedy(), "") << text;
  }
  EXPECT_THAT(parse_date("2030-01-01T00:00:00").error().line(), HasSubstr("zone"));
}

TEST(Date, RefusesWhatNoClockCanShow) {
  for (const char* text : {"1969-12-31T23:59:59Z", "@-1", "@-0.5", "0001-01-01T00:00:00Z",
                           "1970-01-01T00:00:00+00:01"}) {
    const auto parsed = parse_date(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().line(), HasSubstr("before 1970")) << text;
  }
  for (const char* text : {"2262-04-11T23:47:16Z", "@9223372036", "9999-12-31T23:59:59Z"}) {
    const auto parsed = parse_date(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_THAT(parsed.error().line(), HasSubstr("2262")) << text;
  }
}

TEST(Date, FormatsWhatParsesBack) {
  EXPECT_EQ(format_date({0, 0}), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_date({1'893'456'000, 250'000'000}), "2030-01-01T00:00:00.25Z");
  for (int64_t sec = 0; sec < TC_LAST_SEC; sec += 86'399 * 1013) {
    const Reading reading{sec, sec % TC_NSEC_PER_SEC};
    EXPECT_EQ(parse_date(format_date(reading)).value(), reading) << sec;
  }
}

}  // namespace
}  // namespace time_chaos::clock
