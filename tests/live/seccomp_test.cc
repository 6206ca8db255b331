// Targets behind seccomp filters, and with a sealed vDSO: refused when the attach would kill or
// fail, shifted when it would not.
#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

Result<Child> start_filtered(const std::string& action) {
  TC_TRY(Child child, start_target("seccomp", {action}));
  // The first reading is printed before the filter is in force.
  for (int i = 0; i < 2; ++i) {
    TC_TRY([[maybe_unused]] const Reading reading, next_reading(child, 0));
  }
  return child;
}

class Refusing : public testing::TestWithParam<std::string> {};

TEST_P(Refusing, FilterIsNotRunInto) {
  ASSERT_VALUE(Child child, start_filtered(GetParam()));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  ASSERT_PROGRAM(outcome, 3, agent_arguments(child.pid(), "1h", {"--detach"}));
  EXPECT_TRUE(is_one_error_line(outcome.err));
  EXPECT_THAT(outcome.err, testing::HasSubstr("seccomp"));
  EXPECT_THAT(outcome.err, testing::HasSubstr("--force"));
  EXPECT_STATUS(check_shift(child, {}));
  EXPECT_TRUE(unchanged(before, child.pid()));
}

TEST_P(Refusing, IsForeseen) {
  ASSERT_VALUE(Child child, start_filtered(GetParam()));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  ASSERT_PROGRAM(outcome, 3, agent_arguments(child.pid(), "1h", {"--dry-run"}));
  EXPECT_THAT(outcome.err, testing::HasSubstr("seccomp"));
  ASSERT_PROGRAM(forced, 0, agent_arguments(child.pid(), "1h", {"--dry-run", "--force"}));
  EXPECT_STATUS(check_shift(child, {}));
  EXPECT_TRUE(unchanged(before, child.pid()));
}

TEST_P(Refusing, NoOtherTargetIsShiftedBefore) {
  ASSERT_VALUE(Child first, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Child child, start_filtered(GetParam()));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(first.pid()));
  ASSERT_PROGRAM(
      outcome, 3,
      agent_arguments(first.pid(), "1h", {"--detach", "--pid", std::to_string(child.pid())}));
  EXPECT_TRUE(is_one_error_line(outcome.err));
  EXPECT_TRUE(outcome.event("shifted").is_null()) << outcome.text();
  EXPECT_STATUS(check_shift(first, {}));
  EXPECT_TRUE(unchanged(before, first.pid()));
}

TEST_P(Refusing, ForceSuspendsTheFilter) {
  ASSERT_VALUE(Child child, start_filtered(GetParam()));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), "1h", {"--force"}));
  EXPECT_STATUS(check_shift(child, {.expected = hours{1}}));
  ASSERT_VALUE(const Outcome recovered, run_program(recover_arguments(child.pid())));
  EXPECT_EQ(recovered.status, (ExitStatus{0, 0})) << recovered.text();
  EXPECT_STATUS(check_shift(child, {}));
  EXPECT_TRUE(unchanged(before, child.pid(), Maps::kIgnored));
}
INSTANTIATE_TEST_SUITE_P(Live, Refusing, testing::Values("kill", "errno"), string_name);

TEST(Seccomp, AFilterThatAllowsIsNoObstacle) {
  ASSERT_VALUE(Child child, start_filtered("allow"));
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), "1h"));
  EXPECT_STATUS(check_shift(child, {.expected = hours{1}}));
  ASSERT_VALUE(const auto recovered, recover_target(child.pid()));
  EXPECT_STATUS(check_shift(child, {}));
}

TEST(Sealed, VdsoIsNoObstacle) {
  ASSERT_VALUE(Child child, start_target("sealed"));
  ASSERT_VALUE(const std::string first, child.read_line(Milliseconds{5000}));
  if (first == "unsupported") GTEST_SKIP() << "this kernel has no mseal";
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), "1h"));
  EXPECT_STATUS(check_shift(child, {.expected = hours{1}}));
  ASSERT_VALUE(const auto recovered, recover_target(child.pid()));
  EXPECT_STATUS(check_shift(child, {}));
  EXPECT_TRUE(unchanged(before, child.pid(), Maps::kIgnored));
}

}  // namespace
}  // namespace time_chaos::live
