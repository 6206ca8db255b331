// Every language and C library: shift, change live, recover; right from the first reading on, and
// afterwards the process is as it was.
#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

class Languages : public testing::TestWithParam<std::string> {};

TEST_P(Languages, ShiftSetRecover) {
  const ClockTarget& target = clock_target(GetParam());
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  // Runtimes open their own files and start their threads while they print the first lines.
  EXPECT_STATUS(check_shift(child, {.since = host_mono_ns(), .count = 15}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));

  ASSERT_VALUE(HeldShift held, shift_held(child.pid(), "-1h"));
  EXPECT_EQ(held.shifted.value("pid", 0), child.pid());
  EXPECT_EQ(held.shifted.value("offset_ns", int64_t{0}), Nanoseconds(hours{-1}).count());
  EXPECT_EQ(member(member(held.shifted, "engines"), "vdso"), "detour");
  EXPECT_STATUS(check_shift(
      child,
      {.expected = hours{-1}, .since = held.since, .count = 10, .unshifted = target.beyond_vdso}));

  ASSERT_VALUE(const nlohmann::json set, set_offset(child.pid(), "1h30m"));
  EXPECT_STATUS(check_shift(child, {.expected = minutes{90},
                                    .since = host_mono_ns(),
                                    .count = 10,
                                    .unshifted = target.beyond_vdso}));

  ASSERT_VALUE(const nlohmann::json recovered, stop_agent(held.agent));
  EXPECT_EQ(recovered.value("bytes", ""), "as before");
  EXPECT_STATUS(check_shift(child, {.since = host_mono_ns(), .count = 10}));
  RecordProperty("mappings", recovered.value("mappings", "?"));
  const bool kept = code_was_kept(recovered);
  EXPECT_TRUE(unchanged(before, child.pid(), kept ? Maps::kIgnored : target.maps));
  EXPECT_TRUE(child.running());
}

// A second experiment on the same process, by a new agent, after the first was recovered.
TEST_P(Languages, ShiftAgain) {
  const ClockTarget& target = clock_target(GetParam());
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  for (const hours offset : {hours{2}, hours{-3}}) {
    ASSERT_VALUE(const auto shifted,
                 shift_detached(child.pid(), std::to_string(offset.count()) + "h"));
    EXPECT_STATUS(check_shift(child, {.expected = offset, .unshifted = target.beyond_vdso}));
    ASSERT_VALUE(const auto recovered, recover_target(child.pid()));
    EXPECT_STATUS(check_shift(child, {}));
  }
}

std::vector<std::string> languages() {
  std::vector<std::string> result;
  for (const ClockTarget& target : clock_targets()) {
    if (target.name != "m32") result.push_back(target.name);  // thirtytwo_test.cc
  }
  return result;
}
INSTANTIATE_TEST_SUITE_P(Live, Languages, testing::ValuesIn(languages()), string_name);

// The offset within one process, vDSO against system call: exact to what the calls take.
TEST(Precision, OffsetIsExact) {
  const ClockTarget& target = clock_target("glibc");
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  const Nanoseconds offset = std::chrono::hours{1} + Nanoseconds{1};
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), "1h1ns"));
  EXPECT_EQ(shifted.value("offset_ns", int64_t{0}), offset.count());
  int64_t nearest = INT64_MAX;
  const int64_t since = host_mono_ns();
  for (int i = 0; i < 20; ++i) {
    ASSERT_VALUE(const Reading reading, next_reading(child, since));
    // `raw` is read after `rt`: less than the offset is impossible.
    const int64_t early = reading.ns("raw") - reading.ns("rt") + offset.count();
    EXPECT_GE(early, 0) << reading.line();
    nearest = std::min(nearest, early);
  }
  EXPECT_LT(nearest, 100'000) << "ns from the offset asked for";
  ASSERT_VALUE(const auto recovered, recover_target(child.pid()));
}

// --clocks narrows what is shifted.
TEST(Clocks, OnlyTheNamedOnes) {
  const ClockTarget& target = clock_target("glibc");
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  ASSERT_VALUE(const auto shifted,
               shift_detached(child.pid(), "1h", {"--clocks", "CLOCK_REALTIME"}));
  // gettimeofday and time follow realtime.
  EXPECT_STATUS(check_shift(child, {.expected = hours{1}, .unshifted = {"raw", "tai", "coarse"}}));
  ASSERT_VALUE(const auto recovered, recover_target(child.pid()));
}

}  // namespace
}  // namespace time_chaos::live
