// Agents that are killed in the middle of an attach, at any moment: their target lives on, and
// whoever comes next finds what they left and undoes it.
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <random>

#include "tests/unit/vdso/hot_child.h"

namespace time_chaos::vdso {
namespace {

using test::HotChild;

constexpr int kKills = 100;

// An agent of its own process. Killed after `lifetime` unless it has ended before.
bool run_agent(const std::function<bool()>& work, std::chrono::microseconds lifetime) {
  const pid_t agent = ::fork();
  if (agent == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::_exit(work() ? 0 : 1);
  }
  std::this_thread::sleep_for(lifetime);
  ::kill(agent, SIGKILL);
  int status = 0;
  ::waitpid(agent, &status, 0);
  return WIFEXITED(status);
}

class KilledAgent : public ::testing::TestWithParam<Detour> {};

TEST_P(KilledAgent, TargetsAreNotHarmedAndCanBeRecovered) {
  HotChild child(2);
  const test::Looks before = test::looks(child.pid());
  std::minstd_rand random(42);
  // How long an attach takes here, today: the moments are spread over all of it.
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(test::shift(child.pid(), GetParam()));
  const auto whole = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(test::undo(child.pid()));
  const auto most = static_cast<unsigned>(whole / std::chrono::microseconds(1)) + 1500;
  int left = 0;
  int ended = 0;
  for (int i = 0; i < kKills / 2; i++) {
    ended += run_agent([&] { return test::shift(child.pid(), GetParam()).has_value(); },
                       std::chrono::microseconds(random() % most))
                 ? 1
                 : 0;
    ASSERT_EQ(test::tracer_of(child.pid()), 0);
    const auto found = find_experiment(child.pid());
    ASSERT_TRUE(found) << found.error().line();
    left += found->has_value() ? 1 : 0;
    const auto recovered = test::undo(child.pid());
    ASSERT_TRUE(recovered) << recovered.error().line();
    if (found->has_value()) {
      ASSERT_TRUE(recovered->unmapped) << recovered->still_mapped_because;
    }
    ASSERT_TRUE(child.reads(0)) << i;
    ASSERT_EQ(test::looks(child.pid()).maps, before.maps) << i;
    ASSERT_EQ(test::looks(child.pid()).vdso, before.vdso) << i;
  }
  EXPECT_EQ(child->wild, 0U);
  EXPECT_GT(left, 0) << "no kill hit a moment at which something was there";
  RecordProperty("left_something", left);
  RecordProperty("had_ended", ended);
}

INSTANTIATE_TEST_SUITE_P(Attach, KilledAgent, ::testing::Values(Detour::kAuto, Detour::kFiveByte),
                         [](const auto& test) {
                           return test.param == Detour::kAuto ? "one_byte" : "five_bytes";
                         });

TEST(KilledAgentInRecover, TheNextOneFinishes) {
  HotChild child(2);
  const test::Looks before = test::looks(child.pid());
  std::minstd_rand random(43);
  for (int i = 0; i < kKills / 4; i++) {
    ASSERT_TRUE(test::shift(child.pid()));
    run_agent([&] { return test::undo(child.pid()).has_value(); },
              std::chrono::microseconds(random() % 8000));
    const auto recovered = test::undo(child.pid());
    ASSERT_TRUE(recovered) << recovered.error().line();
    ASSERT_TRUE(child.reads(0)) << i;
    ASSERT_EQ(test::looks(child.pid()), before) << i << " " << recovered->still_mapped_because;
  }
  EXPECT_EQ(child->wild, 0U);
}

}  // namespace
}  // namespace time_chaos::vdso
