// What an agent that was killed has left in a target, and the next agent.
#include <csignal>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;
using testing::HasSubstr;

Arguments both(const Child& first, const Child& second) {
  return {"agent",    "--pid", std::to_string(first.pid()), "--pid", std::to_string(second.pid()),
          "--offset", "2h",    "--engine-syscalls",         "off",   "--json"};
}

// An hour ahead, and nobody there to change it.
Result<Child> start_abandoned() {
  TC_TRY(Child target, start_clock_target(clock_target("glibc")));
  TC_TRY(Agent agent,
         Agent::start(agent_arguments(target.pid(), "1h", {"--experiment", "killed"})));
  TC_TRY(const auto shifted, agent.wait_event("shifted"));
  TC_TRY(const Outcome killed, agent.stop(SIGKILL));
  return target;
}

TEST(Abandoned, IsLeftAsItIsByARequestThatIsRefused) {
  ASSERT_VALUE(Child abandoned, start_abandoned());
  ASSERT_VALUE(Child taken, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Agent agent, Agent::start(agent_arguments(taken.pid(), "-1h")));
  ASSERT_VALUE(const auto shifted, agent.wait_event("shifted"));
  for (const auto& line : {both(abandoned, taken), both(taken, abandoned)}) {
    ASSERT_VALUE(const Outcome refused, run_program(line));
    EXPECT_NE(refused.status, (ExitStatus{0, 0})) << refused.text();
    EXPECT_THAT(refused.err, HasSubstr(std::to_string(taken.pid())));
    EXPECT_TRUE(refused.event("recovered").is_null()) << refused.text();
  }
  EXPECT_STATUS(check_shift(abandoned, {.expected = hours{1}, .since = host_mono_ns()}));
  EXPECT_STATUS(check_shift(taken, {.expected = hours{-1}, .since = host_mono_ns()}));
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  ASSERT_PROGRAM(recovered, 0, recover_arguments(abandoned.pid()));
}

TEST(Abandoned, IsForeseenAndRecoveredForARequestThatIsNot) {
  ASSERT_VALUE(Child abandoned, start_abandoned());
  ASSERT_VALUE(Child other, start_clock_target(clock_target("glibc")));
  Arguments line = both(other, abandoned);
  line.emplace_back("--dry-run");
  ASSERT_PROGRAM(foreseen, 0, line);
  ASSERT_EQ(foreseen.events().size(), 2U) << foreseen.text();
  EXPECT_TRUE(member(foreseen.events()[0], "recovers").is_null()) << foreseen.text();
  EXPECT_EQ(member(foreseen.events()[1], "recovers"), "killed") << foreseen.text();
  EXPECT_STATUS(check_shift(abandoned, {.expected = hours{1}, .since = host_mono_ns()}));
  line.pop_back();
  ASSERT_VALUE(Agent agent, Agent::start(line));
  ASSERT_VALUE(const auto recovered, agent.wait_event("recovered"));
  EXPECT_EQ(member(recovered, "pid"), abandoned.pid());
  ASSERT_VALUE(const auto first, agent.wait_event("shifted"));
  ASSERT_VALUE(const auto second, agent.wait_event("shifted"));
  for (Child* child : {&abandoned, &other}) {
    EXPECT_STATUS(check_shift(*child, {.expected = hours{2}, .since = host_mono_ns()}));
  }
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  for (Child* child : {&abandoned, &other}) {
    EXPECT_STATUS(check_shift(*child, {.since = host_mono_ns(), .unshifted = {}}));
  }
}

}  // namespace
}  // namespace time_chaos::live
