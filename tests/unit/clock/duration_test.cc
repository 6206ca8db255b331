// Durations must mean what they mean to Go: its own table of cases, the limits of int64, and the
// round trip through text.
#include "agent/clock/duration.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kSec = 1'000 * kMs;
constexpr int64_t kMin = 60 * kSec;
constexpr int64_t kHour = 60 * kMin;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kLargest = std::numeric_limits<int64_t>::max();
constexpr int64_t kSmallest = std::numeric_limits<int64_t>::min();

struct Case {
  const char* text;
  int64_t want;  // nanoseconds
};

// The cases of src/time/time_test.go of Go 1.19, then our own.
constexpr Case kGood[] = {
    {"0", 0},
    {"5s", 5 * kSec},
    {"30s", 30 * kSec},
    {"1478s", 1478 * kSec},
    {"-5s", -5 * kSec},
    {"+5s", 5 * kSec},
    {"-0", 0},
    {"+0", 0},
    {"5.0s", 5 * kSec},
    {"5.6s", 5 * kSec + 600 * kMs},
    {"5.s", 5 * kSec},
    {".5s", 500 * kMs},
    {"1.0s", kSec},
    {"1.00s", kSec},
    {"1.004s", kSec + 4 * kMs},
    {"1.0040s", kSec + 4 * kMs},
    {"100.00100s", 100 * kSec + kMs},
    {"10ns", 10},
    {"11us", 11'000},
    {"12\u00b5s", 12'000},
    {"12\u03bcs", 12'000},
    {"13ms", 13 * kMs},
    {"14s", 14 * kSec},
    {"15m", 15 * kMin},
    {"16h", 16 * kHour},
    {"3h30m", 3 * kHour + 30 * kMin},
    {"10.5s4m", 4 * kMin + 10 * kSec + 500 * kMs},
    {"-2m3.4s", -(2 * kMin + 3 * kSec + 400 * kMs)},
    {"1h2m3s4ms5us6ns", kHour + 2 * kMin + 3 * kSec + 4 * kMs + 5'006},
    {"39h9m14.425s", 39 * kHour + 9 * kMin + 14 * kSec + 425 * kMs},
    {"52763797000ns", 52'763'797'000},
    {"0.3333333333333333333h", 20 * kMin},
    {"9007199254740993ns", (int64_t{1} << 53) + 1},
    {"9223372036854775807ns", kLargest},
    {"9223372036854775.807us", kLargest},
    {"9223372036s854ms775us807ns", kLargest},
    {"-9223372036854775808ns", kSmallest},
    {"-9223372036854775.808us", kSmallest},
    {"-9223372036s854ms775us808ns", kSmallest},
    {"-2562047h47m16.854775808s", kSmallest},
    {"0.100000000000000000000h", 6 * kMin},
    {"0.830103483285477580700h", 49 * kMin + 48 * kSec + 372'539'827},

    {"-10m100ns", -(10 * kMin + 100)},
    {"1.5h", 90 * kMin},
    {"-1ns", -1},
    {"0s", 0},
    {"1m1m", 2 * kMin},
    {"00000000000000000000000000000001s", kSec},
    {"0.9999999999ns", 0},
    {"1d", kDay},
    {"-1.5d12h", -48 * kHour},
    {"106751d", 106'751 * kDay},
};

constexpr const char* kBad[] = {
    "", "3", "-", "s", ".", "-.", ".s", "+.s", "\x85\x85", "\xff\xff", "hello \xff\xff world",
    "3000000h", "9223372036854775808ns", "9223372036854775.808us", "9223372036854ms775us808ns",
    "-9223372036854775809ns", "-9223372036854775808ns1ns",
    // Beyond 64 bits in the digits, in their product with the unit, and in the sum.
    "18446744073709551616ns", "18446744073709552s", "-9223372036s-9223372036s",
    "9223372036s9223372036s", "99999999999999999999999999999999999999ns",
    // Ours.
    "1", "+", "1S", "1H", "--5m", "+-5m", "-+5m", "5m-3s", "9e99h", "1e3s", "1..5s", "1.2.3s",
    " 1s", "1s ", "1 s", "1,5s", "1h30", "1w", "1y", "1ss", "0x1s", "00", "-00", "0.0", "inf",
    "106752d"};

TEST(ParseDuration, TakesWhatGoTakes) {
  for (const Case& c : kGood) {
    const auto got = parse_duration(c.text);
    ASSERT_TRUE(got) << c.text << ": " << got.error().line();
    EXPECT_EQ(got->count(), c.want) << c.text;
  }
}

TEST(ParseDuration, RefusesWhatGoRefusesAsAUsageError) {
  for (const std::string_view text : kBad) {
    const auto got = parse_duration(text);
    ASSERT_FALSE(got) << '"' << text << "\" gave " << got->count();
    EXPECT_EQ(got.error().kind(), Exit::kUsage) << text;
  }
}

TEST(ParseDuration, SaysWhatIsWrong) {
  const auto message = [](std::string_view text) { return parse_duration(text).error().message(); };
  EXPECT_EQ(message(""), "bad duration \"\": it is empty");
  EXPECT_EQ(message("15"), "bad duration \"15\": a unit is missing");
  EXPECT_EQ(message("--5m"), "bad duration \"--5m\": a number is missing");
  EXPECT_EQ(message("1S"), "bad duration \"1S\": there is no unit \"S\"");
  EXPECT_EQ(message("9999999h"),
            "bad duration \"9999999h\": it is more than 292 years (int64 nanoseconds)");
  EXPECT_NE(parse_duration("1S").error().remedy(), "");
}

TEST(ParseDuration, AHostileTextNeitherFillsNorConfusesTheTerminal) {
  const std::string line = parse_duration("1\x1b[2J\n" + std::string(10'000, 'x')).error().line();
  EXPECT_LT(line.size(), 300U);
  for (const char c : line) EXPECT_GE(c, ' ');
}

TEST(FormatDuration, IsShortAndExact) {
  const auto text = [](int64_t ns) { return format_duration(nanoseconds(ns)); };
  EXPECT_EQ(text(0), "0s");
  EXPECT_EQ(text(1), "1ns");
  EXPECT_EQ(text(-1), "-1ns");
  EXPECT_EQ(text(999), "999ns");
  EXPECT_EQ(text(1'500), "1.5us");
  EXPECT_EQ(text(140'000), "140us");
  EXPECT_EQ(text(250 * kMs), "250ms");
  EXPECT_EQ(text(kMs + 1), "1.000001ms");
  EXPECT_EQ(text(kSec - 1), "999.999999ms");
  EXPECT_EQ(text(kSec + kSec / 2), "1.5s");
  EXPECT_EQ(text(10 * kSec), "10s");
  EXPECT_EQ(text(kHour), "1h");
  EXPECT_EQ(text(-90 * kMin), "-1h30m");
  EXPECT_EQ(text(9 * kMin + 41 * kSec), "9m41s");
  EXPECT_EQ(text(kHour + 1), "1h0.000000001s");
  EXPECT_EQ(text(240 * kHour), "240h");
  EXPECT_EQ(text(kLargest), "2562047h47m16.854775807s");
  EXPECT_EQ(text(kSmallest), "-2562047h47m16.854775808s");
}

TEST(FormatOffset, AlwaysHasASign) {
  EXPECT_EQ(format_offset(nanoseconds(kHour)), "+1h");
  EXPECT_EQ(format_offset(nanoseconds(-1)), "-1ns");
  EXPECT_EQ(format_offset(nanoseconds(0)), "+0s");
  EXPECT_EQ(format_offset(nanoseconds(kSmallest)), "-2562047h47m16.854775808s");
}

TEST(FormatDuration, ParsesBackToTheSameValue) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 300'000; i++) {
    // Of every magnitude; every other one with trailing zeros.
    auto bits = static_cast<int64_t>(random());
    bits >>= static_cast<int>(random() % 64);
    if (i % 2 == 0) {
      const int64_t zeros[] = {10, 1'000, kMs, kSec, kMin, kHour};
      const int64_t step = zeros[random() % 6];
      bits = bits / step * step;
    }
    const nanoseconds value(bits);
    const std::string text = format_duration(value);
    const auto back = parse_duration(text);
    ASSERT_TRUE(back) << text;
    ASSERT_EQ(*back, value) << text;
    const std::string offset = format_offset(value);
    ASSERT_TRUE(offset.front() == '+' || offset.front() == '-') << offset;
    ASSERT_EQ(parse_duration(offset).value(), value) << offset;
  }
}

}  // namespace
}  // namespace time_chaos::clock
