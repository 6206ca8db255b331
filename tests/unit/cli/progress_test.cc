// The bar of a running experiment, and the exit code of several targets.
#include "agent/cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "agent/cli/output.h"

namespace time_chaos::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::EndsWith;
using ::testing::StartsWith;

auto filled(const std::string& line) {
  return std::count(line.begin(), line.end(), '#');
}

TEST(ProgressLine, SaysHowLong) {
  EXPECT_THAT(Progress::line(seconds(581), minutes(10)), StartsWith("recovers in 9m41s ["));
  EXPECT_THAT(Progress::line(seconds(581), minutes(10)), EndsWith("] Ctrl-C recovers now"));
  // A second that has begun counts: never 0s while there is something left.
  EXPECT_THAT(Progress::line(milliseconds(1), seconds(9)), StartsWith("recovers in 1s ["));
  EXPECT_THAT(Progress::line(milliseconds(1500), seconds(9)), StartsWith("recovers in 2s ["));
}

TEST(ProgressLine, FillsFromEmptyToFull) {
  EXPECT_EQ(filled(Progress::line(seconds(64), seconds(64))), 0);
  EXPECT_EQ(filled(Progress::line(seconds(32), seconds(64))), 16);
  EXPECT_EQ(filled(Progress::line(seconds(2), seconds(64))), 31);
  EXPECT_EQ(filled(Progress::line(seconds(0), seconds(64))), 32);
  // A clock that was late, or early.
  EXPECT_EQ(filled(Progress::line(-seconds(1), seconds(64))), 32);
  EXPECT_EQ(filled(Progress::line(seconds(65), seconds(64))), 0);
}

TEST(ProgressLine, KeepsItsWidth) {
  const auto bar = [](const std::string& line) { return line.find(']') - line.find('['); };
  for (int left = 0; left <= 100; left++) {
    EXPECT_EQ(bar(Progress::line(seconds(left), seconds(100))), 33U) << left;
  }
}

TEST(Progress, IsTakenOffTheScreenOnlyIfItIsThere) {
  Progress progress;
  ::testing::internal::CaptureStdout();
  progress.clear();
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  ::testing::internal::CaptureStdout();
  progress.draw(seconds(1), seconds(2));
  progress.clear();
  progress.clear();
  EXPECT_EQ(::testing::internal::GetCapturedStdout(),
            "\r\033[K" + Progress::line(seconds(1), seconds(2)) + "\r\033[K");
}

TEST(Tally, IsGoodBadOrPartial) {
  const Error gone(Exit::kNoTarget, "gone");
  Tally nothing;
  EXPECT_EQ(nothing.exit_code(), 0);
  Tally all_bad;
  all_bad.bad(gone);
  all_bad.bad(gone);
  EXPECT_EQ(all_bad.exit_code(), 4);
  Tally some;
  some.good();
  EXPECT_EQ(some.exit_code(), 0);
  some.bad(gone);
  EXPECT_EQ(some.exit_code(), 6);
}

TEST(Report, IsOneLineOnStderrAndWithJsonAnObjectOnStdout) {
  const Error error(Exit::kNotPermitted, "cannot", "do this");
  OutputOptions output;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(report(error, output), 3);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "time-chaos: cannot; do this\n");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  output.json = true;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(report(error, output), 3);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "time-chaos: cannot; do this\n");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(),
            R"({"event":"error","exit":3,"message":"cannot","remedy":"do this"})"
            "\n");
}

}  // namespace
}  // namespace time_chaos::cli
