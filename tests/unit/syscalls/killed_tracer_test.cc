// An agent that is killed at any moment: its targets go on, in real time, with every signal.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>
#include <vector>

#include "target.h"

namespace time_chaos::testing {
namespace {

Shared* g_shared;

void on_signal(int) {
  g_shared->signals++;
}

TEST(PtraceKilledTracer, HealthyUnshiftedAndNoSignalLost) {
  SharedMemory shared;
  Target target([&] {
    g_shared = &shared.get();
    struct sigaction action {};
    action.sa_handler = on_signal;
    ::sigaction(SIGRTMIN, &action, nullptr);
    in_threads(3, [&](size_t) { read_clocks_forever(shared.get()); });
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 3; }));
  // A process sends the signals: this one must have one thread only when it forks.
  Target sender([&] {
    while (!shared->quit) {
      if (::sigqueue(target.pid(), SIGRTMIN, {}) == 0) shared->values[0]++;
      ::usleep(20);
    }
    return 0;
  });
  std::mt19937 random(1);
  std::uniform_int_distribution<useconds_t> moment(0, 12'000);
  for (int i = 0; i < 200; i++) {
    shared->phase = 4 * i + 1;
    const pid_t agent = fork_agent(target.pid());
    ASSERT_GE(agent, 0);
    ::usleep(moment(random));
    ::kill(agent, SIGKILL);
    ASSERT_EQ(::waitpid(agent, nullptr, 0), agent);
    ASSERT_TRUE(eventually([&] { return tracer_of(target.pid()) == 0; })) << "after kill " << i;
    shared->phase = 4 * i + 2;
    const uint64_t seen = shared->phases[2].real;
    ASSERT_TRUE(eventually([&] { return shared->phases[2].real > seen + 30; })) << "kill " << i;
  }
  shared->quit = true;
  EXPECT_EQ(sender.wait(), 0);
  EXPECT_EQ(target.wait(), 0);
  EXPECT_GT(shared->phases[1].shifted, 0U);
  EXPECT_EQ(shared->phases[1].wrong, 0U);
  EXPECT_EQ(shared->phases[2].shifted, 0U);
  EXPECT_EQ(shared->phases[2].wrong, 0U);
  EXPECT_EQ(shared->signals, static_cast<uint64_t>(shared->values[0]));
}

}  // namespace
}  // namespace time_chaos::testing
