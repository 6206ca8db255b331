// A 32-bit target is refused clearly: exit code 5, one line, nothing changed.
#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

TEST(ThirtyTwoBits, AreRefused) {
  const ClockTarget& target = clock_target("m32");
  SKIP_IF_MISSING(target);
  ASSERT_EQ(target.name, "m32");
  ASSERT_VALUE(Child child, start_clock_target(target));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  ASSERT_PROGRAM(outcome, 5, agent_arguments(child.pid(), "1h", {"--detach"}));
  EXPECT_TRUE(is_one_error_line(outcome.err));
  EXPECT_THAT(outcome.err, testing::HasSubstr("32-bit"));
  EXPECT_TRUE(unchanged(before, child.pid()));
  EXPECT_STATUS(check_shift(child, {}));
  ASSERT_VALUE(const Outcome run, run_program({"run", "--offset", "1h", "--engine-syscalls", "off",
                                               "--", target.argv.front()}));
  EXPECT_EQ(run.status, (ExitStatus{5, 0})) << run.text();
}

}  // namespace
}  // namespace time_chaos::live
