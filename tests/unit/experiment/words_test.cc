// The small pieces of what the program says.
#include "agent/experiment/words.h"

#include <gtest/gtest.h>

#include <limits>

namespace time_chaos::experiment {
namespace {

TEST(Moment, IsRfc3339InUtc) {
  EXPECT_EQ(moment({0, 0}, false), "1970-01-01T00:00:00Z");
  EXPECT_EQ(moment({1893456000, 250'000'000}, true), "2030-01-01T00:00:00.250000000Z");
  EXPECT_EQ(moment({1893456000, 999'999'999}, false), "2030-01-01T00:00:00Z");
  EXPECT_EQ(moment({951782399, 5}, true), "2000-02-28T23:59:59.000000005Z");
  EXPECT_EQ(moment({-1, 0}, false), "1969-12-31T23:59:59Z");
}

TEST(Moment, DoesNotDependOnTheTimeZone) {
  ::setenv("TZ", "Asia/Tokyo", 1);
  ::tzset();
  EXPECT_EQ(moment({0, 0}, false), "1970-01-01T00:00:00Z");
  ::unsetenv("TZ");
  ::tzset();
}

TEST(Moment, BeyondTheCalendarIsSeconds) {
  EXPECT_EQ(moment({int64_t{1} << 60, 0}, true), "@1152921504606846976");
}

TEST(ReadingText, IsADateOnlyForWallClocks) {
  EXPECT_EQ(reading_text(0, {1893456000, 1}), "2030-01-01T00:00:00Z");
  EXPECT_EQ(reading_text(1, {12345, 67'891'234}), "12345.067s");
}

TEST(Spans, AreInTheirUnit) {
  EXPECT_EQ(milliseconds(std::chrono::nanoseconds(140'400)), "0.14 ms");
  EXPECT_EQ(milliseconds(std::chrono::seconds(2)), "2000.00 ms");
  EXPECT_DOUBLE_EQ(microseconds(std::chrono::nanoseconds(1500)), 1.5);
}

TEST(Patches, SayFunctionMethodAndPlace) {
  payload::PatchRecord one;
  one.entry = 0x7f001a40;
  one.length = 1;
  payload::PatchRecord five;
  five.entry = 0x7f001b00;
  five.function = 2;
  five.length = 5;
  EXPECT_EQ(patches_text({one, five}),
            "clock_gettime one-byte at 0x7f001a40, time five-byte at 0x7f001b00");
  EXPECT_EQ(patches_text({}), "");
}

TEST(FakeText, SaysWhichFunctionsAreWhose) {
  const auto patch = [](payload::Function function) {
    payload::PatchRecord record;
    record.function = static_cast<uint32_t>(function);
    return record;
  };
  const auto clock = patch(payload::Function::kClockGettime);
  const auto day = patch(payload::Function::kGettimeofday);
  const auto time = patch(payload::Function::kTime);
  EXPECT_EQ(fake_text({clock, day, time}, "lib.so"),
            "clock_gettime, gettimeofday and time by lib.so");
  EXPECT_EQ(fake_text({clock, time}, "lib.so"),
            "clock_gettime and time by lib.so; real is: gettimeofday");
  EXPECT_EQ(fake_text({day}, "lib.so"), "gettimeofday by lib.so; real are: clock_gettime and time");
}

TEST(UnloadedText, SaysWhatBecameOfTheLibrary) {
  vdso::RecoverReport report;
  report.fake = "lib.so";
  EXPECT_EQ(unloaded_text(report), "lib.so still loaded");
  report.unmapped = true;
  EXPECT_EQ(unloaded_text(report), "lib.so unloaded");
  report.fake_stays = "musl unloads nothing";
  EXPECT_EQ(unloaded_text(report), "lib.so stays loaded, unused (musl unloads nothing)");
}

}  // namespace
}  // namespace time_chaos::experiment
