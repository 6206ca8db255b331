// Forked children share their parent's shift, and its changes, and its end; a program that is
// executed starts on host time.
#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

// Tells the forker to start a child; its label ("child 17") as the child's lines begin.
Result<std::string> start_child(Child& forker, const std::string& command,
                                const std::string& role) {
  const int64_t since = host_mono_ns();
  TC_CHECK(forker.write_line(command));
  for (int i = 0; i < 1000; ++i) {
    TC_TRY(const Reading reading, next_reading(forker, since));
    if (!reading.line().starts_with(role + " ")) continue;
    return reading.line().substr(0, reading.line().find(' ', role.size() + 1));
  }
  return fail(Exit::kFailed, "no line of a " + role);
}

Status check(Child& forker, const std::string& label, Nanoseconds expected) {
  return check_shift(forker, {.expected = expected,
                              .since = host_mono_ns(),
                              .count = 3,
                              .unshifted = {"raw"},
                              .only_label = label + " "});
}

TEST(Fork, ChildrenShareTheShift) {
  ASSERT_VALUE(Child forker, start_target("forker", {}, /*with_input=*/true));
  ASSERT_STATUS(check(forker, "parent", hours{0}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(forker.pid()));
  ASSERT_VALUE(HeldShift held, shift_held(forker.pid(), "1h"));
  ASSERT_STATUS(check(forker, "parent", hours{1}));

  ASSERT_VALUE(const std::string child, start_child(forker, "fork", "child"));
  EXPECT_STATUS(check(forker, child, hours{1}));
  ASSERT_VALUE(const std::string execed, start_child(forker, "exec", "execed"));
  EXPECT_STATUS(check(forker, execed, hours{0}));
  EXPECT_STATUS(check(forker, "parent", hours{1}));

  ASSERT_VALUE(const auto set, set_offset(forker.pid(), "-2h"));
  EXPECT_STATUS(check(forker, "parent", hours{-2}));
  EXPECT_STATUS(check(forker, child, hours{-2}));
  EXPECT_STATUS(check(forker, execed, hours{0}));

  ASSERT_VALUE(const auto recovered, stop_agent(held.agent));
  EXPECT_STATUS(check(forker, "parent", hours{0}));
  EXPECT_STATUS(check(forker, child, hours{0}));
  EXPECT_TRUE(
      unchanged(before, forker.pid(), code_was_kept(recovered) ? Maps::kIgnored : Maps::kExact));
}

TEST(Fork, AChildForkedBeforeIsNotTouched) {
  ASSERT_VALUE(Child forker, start_target("forker", {}, /*with_input=*/true));
  ASSERT_VALUE(const std::string child, start_child(forker, "fork", "child"));
  const pid_t pid = pid_in(child);
  ASSERT_VALUE(const Snapshot before, Snapshot::take(pid));
  ASSERT_VALUE(const auto shifted, shift_detached(forker.pid(), "1h"));
  EXPECT_STATUS(check(forker, "parent", hours{1}));
  EXPECT_STATUS(check(forker, child, hours{0}));
  EXPECT_TRUE(unchanged(before, pid));
  ASSERT_VALUE(const auto recovered, recover_target(forker.pid()));
}

// The page outlives the parent: the child is still found, and can be recovered, by its own pid.
TEST(Fork, AChildCanBeRecoveredByItself) {
  ASSERT_VALUE(Child forker, start_target("forker", {}, /*with_input=*/true));
  ASSERT_VALUE(const auto shifted, shift_detached(forker.pid(), "1h"));
  ASSERT_VALUE(const std::string child, start_child(forker, "fork", "child"));
  const pid_t pid = pid_in(child);
  EXPECT_STATUS(check(forker, child, hours{1}));
  ASSERT_VALUE(const auto recovered, recover_target(pid));
  EXPECT_STATUS(check(forker, child, hours{0}));
  ASSERT_STATUS(recover_whatever(forker.pid()));
  EXPECT_STATUS(check(forker, "parent", hours{0}));
}

}  // namespace
}  // namespace time_chaos::live
