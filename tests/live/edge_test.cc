// The odd calls (time(NULL), null and bad pointers, ids that no clock has): shifted, they answer
// exactly what they answer natively, but for the readings of shifted clocks.
#include <algorithm>
#include <regex>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using Lines = std::vector<std::string>;

Result<Lines> ask(Child& child) {
  TC_CHECK(child.write_line("go"));
  Lines lines;
  for (;;) {
    TC_TRY(std::string line, child.read_line(Milliseconds{5000}));
    if (line == "end") return lines;
    lines.push_back(std::move(line));
  }
}

Result<Child> start_edge() {
  TC_TRY(Child child, start_target("edge", {}, /*with_input=*/true));
  TC_TRY(const std::string ready, child.read_line(Milliseconds{5000}));
  return child;
}

// "REALTIME ret 0 shift 0 range ok" -> "REALTIME ret 0 shift 3600 range ok", for these names.
Lines expected_after(const Lines& native, const std::string& names, int seconds) {
  const std::regex wall("^(" + names + ") ");
  Lines result;
  for (const std::string& line : native) {
    result.push_back(
        std::regex_search(line, wall)
            ? std::regex_replace(line, std::regex("shift 0"), "shift " + std::to_string(seconds))
            : line);
  }
  return result;
}

// Only what differs, so that a failure can be read.
std::string difference(const Lines& actual, const Lines& expected) {
  std::string out;
  for (size_t i = 0; i < std::max(actual.size(), expected.size()); ++i) {
    const std::string is = i < actual.size() ? actual[i] : "(no line)";
    const std::string want = i < expected.size() ? expected[i] : "(no line)";
    if (is != want) out += "\n  is:       " + is + "\n  expected: " + want;
  }
  return out;
}

const char* const kWallClocks =
    "REALTIME|REALTIME_COARSE|REALTIME_ALARM|TAI|time\\(.*\\)|gettimeofday\\(tv,.*\\)";

TEST(Edge, NativeAnswersAreStable) {
  ASSERT_VALUE(Child child, start_edge());
  ASSERT_VALUE(const Lines first, ask(child));
  ASSERT_VALUE(const Lines second, ask(child));
  EXPECT_EQ(difference(second, first), "");
  EXPECT_GT(first.size(), 35U);
}

class EdgeAt : public testing::TestWithParam<int> {};

TEST_P(EdgeAt, AnswersAreNativeButForTheShift) {
  const int seconds = GetParam();
  ASSERT_VALUE(Child child, start_edge());
  ASSERT_VALUE(const Lines native, ask(child));
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), std::to_string(seconds) + "s"));
  ASSERT_VALUE(const Lines there, ask(child));
  EXPECT_EQ(difference(there, expected_after(native, kWallClocks, seconds)), "");
  ASSERT_VALUE(const auto recovered, recover_target(child.pid()));
  ASSERT_VALUE(const Lines back, ask(child));
  EXPECT_EQ(difference(back, native), "");
}
INSTANTIATE_TEST_SUITE_P(Live, EdgeAt,
                         testing::Values(3600, -3600, 1, -1, 86400 * 365, 1'000'000'000),
                         [](const testing::TestParamInfo<int>& p) {
                           return (p.param < 0 ? "minus" : "plus") +
                                  std::to_string(std::abs(p.param));
                         });

TEST(Edge, AllClocks) {
  ASSERT_VALUE(Child child, start_edge());
  ASSERT_VALUE(const Lines native, ask(child));
  ASSERT_VALUE(const auto shifted,
               shift_detached(child.pid(), "1h", {"--clocks", "realtime,monotonic,boottime"}));
  ASSERT_VALUE(const Lines there, ask(child));
  const char* const named = "REALTIME|MONOTONIC|BOOTTIME|time\\(.*\\)|gettimeofday\\(tv,.*\\)";
  EXPECT_EQ(difference(there, expected_after(native, named, 3600)), "");
}

}  // namespace
}  // namespace time_chaos::live
