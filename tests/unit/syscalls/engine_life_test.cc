// The engine as the agent sees it: what it asks, refuses, disturbs and leaves behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "agent/targets/process.h"
#include "target.h"

namespace time_chaos::testing {
namespace {

using ::testing::HasSubstr;

TEST(PtraceEngineLife, MapsMayChangeAndFail) {
  SharedMemory shared;
  Target target([&] {
    read_clocks_forever(shared.get());
    return 0;
  });
  std::atomic<int> mode = 0;
  syscalls::PtraceTarget description = shifted_target(target.pid());
  description.maps = [&]() -> Result<clock::ClockMaps> {
    if (mode == 1) return fail(Exit::kFailed, "no page");
    return mode == 0 ? clock::identity_maps() : shifted_maps();
  };
  auto engine = syscalls::PtraceEngine::start({description});
  ASSERT_TRUE(engine) << engine.error().line();
  pause_for(50);
  EXPECT_EQ((*engine)->counters(target.pid()).failed, 0U);
  EXPECT_EQ((*engine)->counters(target.pid()).shifted, 0U);
  mode = 1;
  ASSERT_TRUE(eventually([&] { return (*engine)->counters(target.pid()).failed > 0; }));
  EXPECT_EQ(shared->phases[0].shifted, 0U);
  mode = 2;
  ASSERT_TRUE(eventually([&] { return shared->phases[0].shifted > 10; }));
  (*engine)->stop();
}

TEST(PtraceEngineLife, RefusesWithoutTouchingTheOtherTarget) {
  SharedMemory shared;
  Target good([] { return ::pause(); });
  Target taken([] { return ::pause(); });
  auto first = start(taken.pid());
  const auto second =
      syscalls::PtraceEngine::start({shifted_target(good.pid()), shifted_target(taken.pid())});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), Exit::kNotPermitted);
  EXPECT_THAT(second.error().line(), HasSubstr("already traced"));
  EXPECT_EQ(tracer_of(good.pid()), 0);
  first->stop();
  EXPECT_EQ(tracer_of(taken.pid()), 0);

  Target gone([] { return 0; });
  const pid_t pid = gone.pid();
  gone.wait();
  const auto third = syscalls::PtraceEngine::start({shifted_target(pid)});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().kind(), Exit::kNoTarget);
}

// A service and its next lives.
TEST(PtraceEngineLife, TargetsCanBeAddedAlsoWhenTheLastHasEnded) {
  const auto reader = [](SharedMemory& shared) {
    return [&shared] {
      in_threads(3, [&](size_t) { read_clocks_forever(shared.get()); });
      return 0;
    };
  };
  SharedMemory quick;
  Target first([&] {
    while (!quick->quit) ::usleep(1000);
    return 0;
  });
  auto engine = start(first.pid());
  for (int life = 0; life < 3; life++) {
    SCOPED_TRACE(life);
    SharedMemory shared;
    Target next(reader(shared));
    ASSERT_TRUE(eventually([&] { return shared->ready == 3; }));
    const Status added = engine->add(shifted_target(next.pid()));
    ASSERT_TRUE(added) << added.error().line();
    EXPECT_FALSE(engine->idle());
    EXPECT_FALSE(engine->add(shifted_target(next.pid()))) << "it is there already";
    shared->phase = 1;
    ASSERT_TRUE(eventually([&] { return shared->phases[1].shifted > 30; }));
    EXPECT_EQ(shared->phases[1].real, 0U);
    EXPECT_EQ(shared->phases[1].wrong, 0U);
    shared->quit = true;
    quick->quit = true;
    ASSERT_TRUE(eventually([&] { return engine->idle(); })) << "all have ended";
  }
  engine->stop();
}

// One of its threads is somebody else's already.
TEST(PtraceEngineLife, ATargetThatCannotBeAddedIsLetGo) {
  SharedMemory shared;
  Target first([] { return ::pause(); });
  Target other([&] {
    in_threads(2, [&](size_t index) {
      if (index == 1) shared->values[0] = ::gettid();
      read_clocks_forever(shared.get());
    });
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 2 && shared->values[0] != 0; }));
  auto engine = start(first.pid());
  auto seized = tracee::SeizedThread::seize(other.pid(), static_cast<pid_t>(shared->values[0]));
  ASSERT_TRUE(seized) << seized.error().line();
  const Status added = engine->add(shifted_target(other.pid()));
  ASSERT_FALSE(added);
  EXPECT_THAT(added.error().line(), HasSubstr("already traced"));
  EXPECT_EQ(tracer_of(other.pid()), 0);
  shared->phase = 1;
  ASSERT_TRUE(eventually([&] { return shared->phases[1].real > 30; }));
  EXPECT_EQ(shared->phases[1].shifted, 0U);
  ASSERT_TRUE(seized->interrupt());
  ASSERT_TRUE(seized->detach());
  EXPECT_NE(tracer_of(first.pid()), 0) << "the others are followed on";
  engine->stop();
}

std::vector<pid_t> helpers() {
  std::vector<pid_t> found;
  for (const pid_t pid : targets::find_by_name("tc-doorbell")) {
    const auto status = targets::read_status(pid);
    if (status && status->parent == ::getpid()) found.push_back(pid);
  }
  return found;
}

TEST(PtraceEngineLife, TheHelperIsReplacedWhenKilledAndGoneAfterwards) {
  SharedMemory shared;
  Target target([&] {
    read_clocks_forever(shared.get());
    return 0;
  });
  auto engine = start(target.pid());
  std::vector<pid_t> first;
  ASSERT_TRUE(eventually([&] { return (first = helpers()).size() == 1; }));
  ::kill(first.front(), SIGKILL);
  ASSERT_TRUE(eventually([&] {
    const auto second = helpers();
    return second.size() == 1 && second != first;
  }));
  shared->phase = 1;
  ASSERT_TRUE(eventually([&] { return shared->phases[1].shifted > 10; }));
  engine->stop();
  engine->stop();
  EXPECT_TRUE(helpers().empty());
}

// The agent waits in epoll_wait for its own signals and timers.
TEST(PtraceEngineLife, TheAgentsOtherThreadsAreNotDisturbedAndAnIdleEngineSleeps) {
  SharedMemory shared;
  Target target([&] {
    while (shared->phase == 0) read_clocks(shared.get());
    ::pause();
    return 0;
  });
  auto engine = start(target.pid());
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  for (int i = 0; i < 20; i++) {
    EXPECT_EQ(::epoll_wait(epoll, &event, 1, 20), 0) << "errno " << errno;
  }
  ::close(epoll);
  shared->phase = 1;
  pause_for(50);
  const auto cpu = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
  };
  const auto before = cpu();
  pause_for(500);
  EXPECT_LT(cpu() - before, 20'000) << "microseconds of CPU in half a second of nothing";
}

}  // namespace
}  // namespace time_chaos::testing
