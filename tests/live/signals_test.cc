// Signals and stops of the target's own: none is lost, none is invented.
#include <csignal>
#include <thread>

#include "agent/base/files.h"
#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

char state_of(pid_t pid) {
  const auto status = read_file("/proc/" + std::to_string(pid) + "/status");
  if (!status) return '?';
  const size_t at = status->find("State:\t");
  return at == std::string::npos ? '?' : (*status)[at + 7];
}

bool reaches_state(pid_t pid, char state) {
  for (int i = 0; i < 500 && state_of(pid) != state; ++i) {
    std::this_thread::sleep_for(Milliseconds{10});
  }
  return state_of(pid) == state;
}

TEST(Signals, NoTickOfATimerIsLost) {
  for (const char* threads : {"1", "2", "8"}) {
    SCOPED_TRACE(threads);
    ASSERT_VALUE(Torture hot, Torture::start("hot", {threads}, {"timer"}));
    hot.allow({Nanoseconds{0}, hours{1}, hours{2}});
    ASSERT_EQ(hot.lost_ticks(), 0);
    for (int i = 0; i < 30; ++i) {
      ASSERT_VALUE(const auto shifted, shift_detached(hot.pid(), "1h"));
      ASSERT_VALUE(const auto set, set_offset(hot.pid(), "2h"));
      ASSERT_VALUE(const auto recovered, recover_target(hot.pid()));
    }
    EXPECT_EQ(hot.lost_ticks(), 0);
    EXPECT_STATUS(hot.healthy());
  }
}

// Shifted or refused in one line with a remedy; stopped it stays in both cases.
TEST(Signals, AStoppedTargetStaysStopped) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"3"}, {"timer"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_STATUS(hot.progress(64));
  ASSERT_STATUS(hot.child().signal(SIGSTOP));
  ASSERT_TRUE(reaches_state(hot.pid(), 'T'));
  ASSERT_VALUE(const Outcome outcome, run_program(agent_arguments(hot.pid(), "1h", {"--detach"})));
  const bool shifted = outcome.status == ExitStatus{0, 0};
  if (!shifted) {
    EXPECT_TRUE(is_one_error_line(outcome.err));
    EXPECT_THAT(outcome.err, testing::HasSubstr("stopped"));
    EXPECT_THAT(outcome.err, testing::HasSubstr(";"));  // the remedy
  }
  EXPECT_EQ(state_of(hot.pid()), 'T') << outcome.text();
  std::this_thread::sleep_for(Milliseconds{200});
  EXPECT_EQ(state_of(hot.pid()), 'T') << outcome.text();
  ASSERT_STATUS(hot.child().signal(SIGCONT));
  ASSERT_STATUS(hot.progress(1000));
  ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(host_mono_ns()));
  EXPECT_LE(std::chrono::abs(now - (shifted ? hours{1} : hours{0})), kReadingTolerance);
  EXPECT_STATUS(hot.healthy());
  ASSERT_STATUS(recover_whatever(hot.pid()));
  EXPECT_STATUS(hot.healthy());
  EXPECT_EQ(hot.lost_ticks(), 0);
}

// Shifted, then stopped: recover shall not set it going either.
TEST(Signals, AStoppedTargetStaysStoppedAtRecover) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(const auto shifted, shift_detached(hot.pid(), "1h"));
  ASSERT_STATUS(hot.child().signal(SIGSTOP));
  ASSERT_TRUE(reaches_state(hot.pid(), 'T'));
  ASSERT_VALUE(const Outcome outcome, run_program(recover_arguments(hot.pid())));
  EXPECT_EQ(state_of(hot.pid()), 'T') << outcome.text();
  ASSERT_STATUS(hot.child().signal(SIGCONT));
  ASSERT_STATUS(hot.progress(1000));
  ASSERT_STATUS(recover_whatever(hot.pid()));
  ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(host_mono_ns()));
  EXPECT_LE(std::chrono::abs(now), kReadingTolerance);
  EXPECT_STATUS(hot.healthy());
}

// A signal that ends the target while it is shifted ends it as ever; the agent says so and ends.
TEST(Signals, TheTargetCanBeKilledWhileShifted) {
  for (const int number : {SIGTERM, SIGKILL, SIGSEGV}) {
    ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
    hot.allow({Nanoseconds{0}, hours{1}});
    ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h"));
    ASSERT_STATUS(hot.child().signal(number));
    ASSERT_VALUE(const ExitStatus status, hot.child().wait(Milliseconds{5000}));
    EXPECT_EQ(status, (ExitStatus{0, number}));
    ASSERT_VALUE(const auto gone, held.agent.wait_event("gone"));
    EXPECT_EQ(gone.value("pid", 0), hot.pid());
    ASSERT_VALUE(const Outcome outcome, held.agent.wait());
    EXPECT_EQ(outcome.status.signal, 0) << outcome.text();
  }
}

// Ctrl-C and SIGTERM both recover; a second one meanwhile does no harm.
TEST(Signals, TheAgentRecoversOnIntAndTerm) {
  for (const int number : {SIGINT, SIGTERM}) {
    ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
    hot.allow({Nanoseconds{0}, hours{1}});
    ASSERT_VALUE(const Snapshot before, Snapshot::take(hot.pid()));
    ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h"));
    ASSERT_STATUS(held.agent.child().signal(number));
    ASSERT_VALUE(const Outcome outcome, held.agent.stop(number));
    ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(host_mono_ns()));
    EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
    EXPECT_LE(std::chrono::abs(now), kReadingTolerance);
    EXPECT_TRUE(unchanged(before, hot.pid(), Maps::kIgnored));
    EXPECT_STATUS(hot.healthy());
  }
}

}  // namespace
}  // namespace time_chaos::live
