// Attach and recover again and again, under load, with every reading of every thread checked.
// 1000 cycles in four tests, or as many as fit into 80 s; TIME_CHAOS_CYCLES: exactly that many.
#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr int kShards = 4;

bool near(Nanoseconds value, Nanoseconds expected) {
  return std::chrono::abs(value - expected) <= kReadingTolerance;
}

void cycle(Torture& target, Repetitions& cycles) {
  target.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(const Snapshot before, Snapshot::take(target.pid()));
  bool kept = false;
  while (cycles.next()) {
    SCOPED_TRACE("cycle " + std::to_string(cycles.done()));
    ASSERT_VALUE(const auto shifted, shift_detached(target.pid(), "1h"));
    ASSERT_VALUE(const Nanoseconds there, target.fresh_shift(host_mono_ns()));
    ASSERT_TRUE(near(there, hours{1})) << there.count();
    ASSERT_VALUE(const auto recovered, recover_target(target.pid()));
    kept = code_was_kept(recovered);
    ASSERT_VALUE(const Nanoseconds back, target.fresh_shift(host_mono_ns()));
    ASSERT_TRUE(near(back, Nanoseconds{0})) << back.count();
    ASSERT_STATUS(target.healthy());
  }
  ASSERT_VALUE(const Snapshot after, Snapshot::take(target.pid()));
  EXPECT_TRUE(unchanged(before, target.pid(), kept ? Maps::kIgnored : Maps::kExact));
  // What is kept is used again: cycles do not pile up mappings. One experiment has a page of code,
  // the clock page and at most three landing pads.
  EXPECT_LE(after.maps.size(), before.maps.size() + 5);
}

class Cycles : public testing::TestWithParam<int> {};

TEST_P(Cycles, EightHotThreads) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"8"}, {"timer"}));
  Repetitions cycles("TIME_CHAOS_CYCLES", 1000, kShards, seconds{20});
  cycle(hot, cycles);
  EXPECT_STATUS(hot.healthy());
  EXPECT_EQ(hot.lost_ticks(), 0);
}
INSTANTIATE_TEST_SUITE_P(Live, Cycles, testing::Range(0, kShards));

TEST(CyclesOf, ThreadsThatComeAndGo) {
  ASSERT_VALUE(Torture churn, Torture::start("churn", {}));
  churn.allow({Nanoseconds{0}, hours{1}});
  Repetitions cycles("TIME_CHAOS_CYCLES", 1000, 20, seconds{10});
  while (cycles.next()) {
    ASSERT_VALUE(const auto shifted, shift_detached(churn.pid(), "1h"));
    ASSERT_VALUE(const Nanoseconds there, churn.fresh_shift(host_mono_ns()));
    ASSERT_TRUE(near(there, hours{1})) << there.count();
    ASSERT_VALUE(const auto recovered, recover_target(churn.pid()));
    ASSERT_STATUS(churn.progress(64));
    ASSERT_STATUS(churn.healthy());
  }
}

TEST(CyclesOf, SetIsLive) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"4"}));
  hot.allow({Nanoseconds{0}, hours{1}, hours{-1}});
  ASSERT_VALUE(const auto shifted, shift_detached(hot.pid(), "1h"));
  for (int i = 0; i < 50; ++i) {
    const hours offset{i % 2 == 0 ? -1 : 1};
    ASSERT_VALUE(const auto set, set_offset(hot.pid(), std::to_string(offset.count()) + "h"));
    ASSERT_VALUE(const Nanoseconds now, hot.fresh_shift(host_mono_ns()));
    ASSERT_TRUE(near(now, offset)) << now.count();
  }
  ASSERT_VALUE(const auto recovered, recover_target(hot.pid()));
  EXPECT_STATUS(hot.healthy());
}

// Registers, flags, red zone, vectors, mask and results of a target that is attached to while it
// spins or blocks.
class RegistersOf : public testing::TestWithParam<std::string> {};

TEST_P(RegistersOf, AreUntouched) {
  auto started = Torture::start("registers", {GetParam()});
  if (!started && started.error().kind() == Exit::kUnsupported) GTEST_SKIP() << "no AVX";
  ASSERT_TRUE(started.has_value()) << started.error().line();
  Repetitions cycles("TIME_CHAOS_CYCLES", 1000, 25, seconds{5});
  while (cycles.next()) {
    ASSERT_VALUE(const auto shifted, shift_detached(started->pid(), "1h"));
    ASSERT_VALUE(const auto recovered, recover_target(started->pid()));
    ASSERT_STATUS(started->progress(1));
    ASSERT_STATUS(started->healthy());
  }
}
INSTANTIATE_TEST_SUITE_P(Live, RegistersOf,
                         testing::Values("spin", "timer", "nanosleep", "poll", "epoll", "futex",
                                         "pipe", "sigsuspend", "alarmread", "threads"),
                         string_name);

TEST(CyclesOf, RestartableSequences) {
  auto started = Torture::start("rseqloop", {});
  if (!started && started.error().kind() == Exit::kUnsupported) GTEST_SKIP() << "no rseq";
  ASSERT_TRUE(started.has_value()) << started.error().line();
  Repetitions cycles("TIME_CHAOS_CYCLES", 1000, 10, seconds{10});
  while (cycles.next()) {
    ASSERT_VALUE(const auto shifted, shift_detached(started->pid(), "1h"));
    ASSERT_VALUE(const auto recovered, recover_target(started->pid()));
    ASSERT_STATUS(started->progress(100));
    ASSERT_STATUS(started->healthy());
  }
}

}  // namespace
}  // namespace time_chaos::live
