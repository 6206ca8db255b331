// Maps end by themselves: a lease when its agent is dead, a duration when it is over.
#include <csignal>
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// Waits until the target's wall clock is back on host time; how long that took.
Result<milliseconds> until_back(Torture& target, milliseconds limit) {
  const int64_t begin = host_mono_ns();
  for (;;) {
    // No value: clocks of one round fell on both sides of the end (time() lags by a kernel tick).
    const auto shift = target.fresh_shift(host_mono_ns());
    const auto took = std::chrono::duration_cast<milliseconds>(Nanoseconds{host_mono_ns() - begin});
    if (shift && std::chrono::abs(*shift) <= kReadingTolerance) return took;
    if (took > limit) return fail(Exit::kFailed, "still shifted");
    std::this_thread::sleep_for(milliseconds{5});
  }
}

TEST(Lease, EndsWhenTheAgentIsDead) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h", {"--lease", "1s"}));
  // While the agent lives it renews: well beyond one lease the target is still shifted.
  std::this_thread::sleep_for(milliseconds{2500});
  ASSERT_VALUE(const Nanoseconds renewed, hot.fresh_shift(host_mono_ns()));
  EXPECT_LE(std::chrono::abs(renewed - hours{1}), kReadingTolerance);
  ASSERT_VALUE(const Outcome killed, held.agent.stop(SIGKILL));
  ASSERT_VALUE(const milliseconds took, until_back(hot, milliseconds{3000}));
  EXPECT_LE(took.count(), 2000);
  EXPECT_STATUS(hot.healthy());
  // What is left of it can be undone as ever.
  ASSERT_VALUE(const auto recovered, recover_target(hot.pid()));
  EXPECT_STATUS(hot.healthy());
}

TEST(Lease, OfAKilledAgentKeepsNobodyAway) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}, hours{2}});
  ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h"));
  ASSERT_PROGRAM(refused, 1, agent_arguments(hot.pid(), "2h"));
  EXPECT_THAT(refused.err, testing::HasSubstr("is already there (agent"));
  ASSERT_VALUE(const Outcome killed, held.agent.stop(SIGKILL));
  ASSERT_VALUE(HeldShift next, shift_held(hot.pid(), "2h"));
  ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(host_mono_ns()));
  EXPECT_LE(std::chrono::abs(now - hours{2}), kReadingTolerance);
  ASSERT_VALUE(const Outcome ended, next.agent.stop(SIGINT));
  EXPECT_EQ(ended.status, (ExitStatus{0, 0})) << ended.text();
  ASSERT_VALUE(const Nanoseconds after, hot.fresh_shift(host_mono_ns()));
  EXPECT_LE(std::chrono::abs(after), kReadingTolerance);
  EXPECT_STATUS(hot.healthy());
}

TEST(Lease, EndsWhenDetached) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(const auto shifted, shift_detached(hot.pid(), "1h", {"--lease", "1s"}));
  EXPECT_TRUE(member(shifted, "until").is_string()) << shifted.dump();
  ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(host_mono_ns()));
  EXPECT_LE(std::chrono::abs(now - hours{1}), kReadingTolerance);
  ASSERT_VALUE(const milliseconds took, until_back(hot, milliseconds{3000}));
  EXPECT_LE(took.count(), 1500);
  ASSERT_PROGRAM(status, 0, {"status", "--pid", std::to_string(hot.pid()), "--json"});
  EXPECT_THAT(status.out, testing::HasSubstr("expired"));
  EXPECT_STATUS(hot.healthy());
}

TEST(Duration, EndsTheExperiment) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(const Snapshot before, Snapshot::take(hot.pid()));
  ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h", {"--duration", "1s"}));
  EXPECT_TRUE(member(held.shifted, "until").is_string()) << held.shifted.dump();
  ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(held.since));
  EXPECT_LE(std::chrono::abs(now - hours{1}), kReadingTolerance);
  ASSERT_VALUE(const auto recovered, held.agent.wait_event("recovered", milliseconds{5000}));
  const int64_t lasted = host_mono_ns() - held.since;
  EXPECT_GE(lasted, 700'000'000);
  EXPECT_LE(lasted, 2'500'000'000);
  ASSERT_VALUE(const Outcome outcome, held.agent.wait());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  ASSERT_VALUE(const Nanoseconds after, hot.fresh_shift(host_mono_ns()));
  EXPECT_LE(std::chrono::abs(after), kReadingTolerance);
  EXPECT_TRUE(unchanged(before, hot.pid(), Maps::kIgnored));
  EXPECT_STATUS(hot.healthy());
}

// The duration holds for the target even when the agent is killed.
TEST(Duration, HoldsWithoutTheAgent) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h", {"--duration", "1s"}));
  ASSERT_VALUE(const Outcome killed, held.agent.stop(SIGKILL));
  ASSERT_VALUE(const milliseconds took, until_back(hot, milliseconds{3000}));
  EXPECT_LE(took.count(), 2000);
  EXPECT_STATUS(hot.healthy());
}

}  // namespace
}  // namespace time_chaos::live
