// Targets in namespaces of their own, and the program inside one: pids mean different things there.
#include <fmt/format.h>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

TEST(Namespace, TargetIsInItsOwn) {
  ASSERT_VALUE(Child outer, start_target("ns"));
  ASSERT_VALUE(const std::string first, outer.read_line(Milliseconds{5000}));
  if (first == "unsupported") GTEST_SKIP() << "no user namespaces here";
  ASSERT_TRUE(first.starts_with("pid ")) << first;
  const pid_t pid = pid_in(first);
  ASSERT_VALUE(const Reading reading, next_reading(outer, 0));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(pid));
  ASSERT_VALUE(HeldShift held, shift_held(pid, "1h"));
  EXPECT_STATUS(check_shift(outer, {.expected = hours{1}, .since = held.since}));
  ASSERT_VALUE(const auto set, set_offset(pid, "-1h"));
  EXPECT_STATUS(check_shift(outer, {.expected = hours{-1}}));
  ASSERT_VALUE(const auto recovered, stop_agent(held.agent));
  EXPECT_STATUS(check_shift(outer, {}));
  EXPECT_TRUE(unchanged(before, pid, code_was_kept(recovered) ? Maps::kIgnored : Maps::kExact));
}

// The program in a pid namespace of the test's own, where "all" means two targets of the test.
TEST(Namespace, AllOfAnInnerOne) {
  if (!find_executable("unshare")) GTEST_SKIP() << "unshare (util-linux) is missing";
  const ClockTarget& target = clock_target("glibc");
  SKIP_IF_MISSING(target);
  const std::string script = fmt::format(
      "'{1}' >/dev/null & A=$!; '{1}' >/dev/null & B=$!; sleep 0.2; "
      "'{0}' agent --pid $A --pid $B --offset 1h --detach --json --engine-syscalls off || exit 90; "
      "'{0}' status --json || exit 91; "
      "'{0}' recover --all --json || exit 92; "
      "'{0}' status --json || exit 93; "
      "kill $A $B; wait; exit 0",
      program_path(), target.argv.front());
  ASSERT_VALUE(Child child, Child::spawn({{"unshare", "--pid", "--fork", "--mount-proc",
                                           "--kill-child", "sh", "-c", script},
                                          {},
                                          false}));
  ASSERT_VALUE(const ExitStatus status, child.wait(Milliseconds{20000}));
  const Outcome outcome{status, child.unread_output(), child.error_text(), {}};
  ASSERT_EQ(status, (ExitStatus{0, 0})) << outcome.text();
  int shifted = 0;
  int recovered = 0;
  for (const auto& event : outcome.events()) {
    shifted += event.value("event", "") == "shifted" ? 1 : 0;
    recovered += event.value("event", "") == "recovered" ? 1 : 0;
  }
  EXPECT_EQ(shifted, 2) << outcome.text();
  EXPECT_EQ(recovered, 2) << outcome.text();
}

}  // namespace
}  // namespace time_chaos::live
