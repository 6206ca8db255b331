// What happens at the same time: two agents for one target; a target that ends or executes another
// program while an agent attaches.
#include <random>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

bool near(Nanoseconds value, Nanoseconds expected) {
  return std::chrono::abs(value - expected) <= kReadingTolerance;
}

// Never the sum: at most one of two wins, the other says why not.
TEST(Race, TwoAgents) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"4"}));
  hot.allow({Nanoseconds{0}, hours{1}, hours{2}});
  for (int i = 0; i < 30; ++i) {
    SCOPED_TRACE(i);
    ASSERT_VALUE(Agent one, Agent::start(agent_arguments(hot.pid(), "1h", {"--detach"})));
    ASSERT_VALUE(Agent two, Agent::start(agent_arguments(hot.pid(), "2h", {"--detach"})));
    ASSERT_VALUE(const Outcome first, one.wait());
    ASSERT_VALUE(const Outcome second, two.wait());
    const bool first_won = first.status == ExitStatus{0, 0};
    const bool second_won = second.status == ExitStatus{0, 0};
    EXPECT_FALSE(first_won && second_won) << first.text() << "\n" << second.text();
    EXPECT_TRUE(first_won || second_won) << first.text() << "\n" << second.text();
    if (!first_won) {
      EXPECT_TRUE(is_one_error_line(first.err));
    }
    if (!second_won) {
      EXPECT_TRUE(is_one_error_line(second.err));
    }
    ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(host_mono_ns()));
    const hours expected{first_won ? 1 : second_won ? 2 : 0};
    EXPECT_TRUE(near(now, expected)) << now.count();
    ASSERT_STATUS(recover_whatever(hot.pid()));
    ASSERT_STATUS(hot.healthy());
  }
}

TEST(Race, ASecondExperimentIsRefusedByName) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h", {"--experiment", "the-first"}));
  ASSERT_VALUE(const Outcome second, run_program(agent_arguments(hot.pid(), "2h", {"--detach"})));
  EXPECT_NE(second.status, (ExitStatus{0, 0})) << second.text();
  EXPECT_TRUE(is_one_error_line(second.err));
  EXPECT_THAT(second.err, testing::HasSubstr("the-first"));
  ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(host_mono_ns()));
  EXPECT_TRUE(near(now, hours{1})) << now.count();
  // `recover` undoes what another, living agent made; that agent notices and ends.
  ASSERT_VALUE(const auto recovered, recover_target(hot.pid()));
  ASSERT_VALUE(const Nanoseconds back, hot.fresh_shift(host_mono_ns()));
  EXPECT_TRUE(near(back, hours{0})) << back.count();
  ASSERT_VALUE(const Outcome first, held.agent.stop());
  EXPECT_EQ(first.status.signal, 0) << first.text();
  EXPECT_STATUS(hot.healthy());
}

TEST(Race, RecoverAndSetTogether) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"4"}));
  hot.allow({Nanoseconds{0}, hours{1}, hours{2}});
  for (int i = 0; i < 20; ++i) {
    ASSERT_VALUE(const auto shifted, shift_detached(hot.pid(), "1h"));
    ASSERT_VALUE(Agent set, Agent::start({"set", "--pid", std::to_string(hot.pid()), "--offset",
                                          "2h", "--json"}));
    ASSERT_VALUE(Agent recover, Agent::start(recover_arguments(hot.pid())));
    ASSERT_VALUE(const Outcome one, set.wait());
    ASSERT_VALUE(const Outcome two, recover.wait());
    EXPECT_EQ(two.status.signal, 0);
    ASSERT_STATUS(recover_whatever(hot.pid()));
    ASSERT_VALUE(const Nanoseconds back, hot.fresh_shift(host_mono_ns()));
    EXPECT_TRUE(near(back, hours{0})) << back.count();
    ASSERT_STATUS(hot.healthy());
  }
}

// Ended in time or not: the agent ends in time, with success, or one line that says why not.
TEST(Race, TheTargetEnds) {
  std::minstd_rand random(static_cast<unsigned>(host_mono_ns()));
  std::uniform_int_distribution<int> life_ms(0, 30);
  for (int i = 0; i < 60; ++i) {
    ASSERT_VALUE(Child child,
                 start_target("once", {"sleep", std::to_string(life_ms(random)), "exit", "5"}));
    ASSERT_VALUE(const Outcome outcome,
                 run_program(agent_arguments(child.pid(), "1h", {"--detach"})));
    ASSERT_EQ(outcome.status.signal, 0) << outcome.text();
    if (outcome.status.code != 0) {
      EXPECT_TRUE(is_one_error_line(outcome.err)) << outcome.text();
      EXPECT_THAT(outcome.status.code, testing::AnyOf(1, 4, 5, 6)) << outcome.text();
    }
    ASSERT_VALUE(const ExitStatus status, child.wait(Milliseconds{5000}));
    EXPECT_EQ(status, (ExitStatus{5, 0})) << outcome.text();
  }
}

// A program that executes itself every few milliseconds: its vDSO moves under the agent's hands.
TEST(Race, TheTargetExecutes) {
  for (const char* pause_us : {"0", "500", "5000", "30000"}) {
    SCOPED_TRACE(pause_us);
    ASSERT_VALUE(Child child, start_target("execer", {pause_us}));
    for (int i = 0; i < 15; ++i) {
      child.discard_output();
      ASSERT_VALUE(const Outcome outcome,
                   run_program(agent_arguments(child.pid(), "1h", {"--detach"})));
      ASSERT_EQ(outcome.status.signal, 0) << outcome.text();
      if (outcome.status.code != 0) {
        EXPECT_TRUE(is_one_error_line(outcome.err)) << outcome.text();
      }
      ASSERT_TRUE(child.running()) << outcome.text();
    }
    child.discard_output();
    ASSERT_VALUE(const Reading first, next_reading(child, 0));
    ASSERT_VALUE(const Reading second, next_reading(child, 0));
    EXPECT_GT(second.ns("generation"), first.ns("generation"));
    // A snapshot that an exec falls into cannot be read.
    auto now = Snapshot::take(child.pid());
    for (int tries = 0; !now && tries < 20; ++tries) now = Snapshot::take(child.pid());
    ASSERT_TRUE(now.has_value());
    EXPECT_EQ(now->tracer, 0);
  }
}

}  // namespace
}  // namespace time_chaos::live
