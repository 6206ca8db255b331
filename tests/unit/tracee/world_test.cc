// All threads of a process stopped at once, while it makes and ends threads as fast as it can.
#include "agent/tracee/world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>

#include "agent/tracee/candidate.h"
#include "agent/tracee/session.h"
#include "tests/unit/tracee/support.h"

namespace time_chaos::tracee {
namespace {

using test::advances;
using test::Child;
using test::Counter;
using test::eventually;
using test::Shared;
using test::stands_still;

// One thread that counts, one that makes threads which count once.
void churn(Counter& counter) {
  std::thread([&] { test::count_for_ever(counter); }).detach();
  for (;;) std::thread([&] { ++counter; }).join();
}

// A thread that ended while it was seized stays a zombie until the session ends.
size_t living_threads(pid_t pid) {
  const auto tids = targets::list_threads(pid);
  return static_cast<size_t>(std::count_if(tids.begin(), tids.end(), [&](pid_t tid) {
    const auto status = targets::read_thread_status(pid, tid);
    return status && status->state != 'Z' && status->state != 'X';
  }));
}

TEST(StoppedWorld, StandsStillDespiteChurn) {
  Shared<Counter> counter;
  const Child child([&] { churn(*counter); }, Child::Ready::kAtOnce);
  ASSERT_TRUE(advances(*counter));
  for (int i = 0; i < 25; i++) {
    const auto held = in_session([&]() -> Status {
      TC_TRY(StoppedWorld world, StoppedWorld::stop(child.pid()));
      EXPECT_TRUE(stands_still(*counter));
      EXPECT_EQ(world.threads().size(), living_threads(child.pid()));
      for (const auto& t : world.threads()) {
        EXPECT_TRUE(t.stopped);
        EXPECT_NE(t.registers.ip(), 0U);
      }
      EXPECT_GT(world.held_for().count(), 0);
      world.release();
      const auto held_for = world.held_for();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      EXPECT_EQ(world.held_for(), held_for);
      return {};
    });
    ASSERT_TRUE(held) << held.error().line();
    ASSERT_TRUE(advances(*counter));
    ASSERT_EQ(test::tracer_of(child.pid()), 0);
  }
}

TEST(StoppedWorld, TheDestructorLetsGo) {
  Shared<Counter> counter;
  const Child child([&] { churn(*counter); }, Child::Ready::kAtOnce);
  ASSERT_TRUE(advances(*counter));
  { ASSERT_TRUE(StoppedWorld::stop(child.pid())); }
  EXPECT_TRUE(advances(*counter));
}

TEST(StoppedWorld, StopsOnlyTheseThreads) {
  Shared<Counter> counter;
  const Child child([&] { churn(*counter); }, Child::Ready::kAtOnce);
  ASSERT_TRUE(advances(*counter));
  auto world = StoppedWorld::stop_these(child.pid(), {child.pid(), 0x3ffffe});
  ASSERT_TRUE(world) << world.error().line();
  ASSERT_EQ(world->threads().size(), 1U);  // the other one has ended, or never was
  EXPECT_EQ(world->threads()[0].thread.tid(), child.pid());
  EXPECT_TRUE(advances(*counter)) << "the counting thread runs on";
}

TEST(StoppedWorld, AStoppedProcessStaysStopped) {
  Shared<Counter> counter;
  Child child([&] { churn(*counter); }, Child::Ready::kAtOnce);
  ASSERT_TRUE(advances(*counter));
  child.stop();
  const auto held = in_session([&]() -> Status {
    TC_TRY(StoppedWorld world, StoppedWorld::stop(child.pid()));
    return {};
  });
  ASSERT_TRUE(held) << held.error().line();
  EXPECT_TRUE(eventually([&] { return test::state_of(child.pid()) == 'T'; }));
  EXPECT_TRUE(stands_still(*counter));
  ::kill(child.pid(), SIGCONT);
  EXPECT_TRUE(advances(*counter));
}

TEST(StoppedWorld, AProcessThatHasEndedIsNoTarget) {
  Child child;
  child.end();
  const auto world = StoppedWorld::stop(child.pid());
  ASSERT_FALSE(world);
  EXPECT_EQ(world.error().kind(), Exit::kNoTarget);
}

// The parent of a vfork sleeps uninterruptibly until its child execs or ends; its other threads
// run on.
class Vfork : public ::testing::Test {
 protected:
  struct Facts {
    Counter counter{0};
    std::atomic<bool> end{false};
    std::atomic<bool> back{false};
  };
  static int wait_for_the_end(void* memory) {
    auto* facts = static_cast<Facts*>(memory);
    while (!facts->end) ::sched_yield();
    return 0;
  }

  Shared<Facts> facts_;
  Child child_{[this] {
                 std::thread([this] { test::count_for_ever(facts_->counter); }).detach();
                 // As vfork(), but on a stack of its own, so that C++ may run there.
                 static std::array<uint8_t, 65536> stack;
                 ::clone(wait_for_the_end, stack.data() + stack.size(),
                         CLONE_VM | CLONE_VFORK | SIGCHLD, &*facts_);
                 facts_->back = true;
               },
               Child::Ready::kAtOnce};
  void SetUp() override {
    ASSERT_TRUE(eventually([&] { return test::state_of(child_.pid()) == 'D'; }));
    ASSERT_TRUE(advances(facts_->counter));
  }
  void TearDown() override { facts_->end = true; }
};

// It could not be let go either.
TEST_F(Vfork, TheParentIsNotStoppedTwice) {
  const auto twice = in_session([&]() -> Status {
    TC_CHECK(StoppedWorld::stop(child_.pid()));
    TC_CHECK(StoppedWorld::stop(child_.pid()));
    return {};
  });
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().line(), ::testing::HasSubstr("waits in the kernel, as in vfork"));
  facts_->end = true;
  EXPECT_TRUE(eventually([&] { return facts_->back.load(); }));
}

TEST_F(Vfork, TheParentCountsAsStopped) {
  const auto held = in_session([&]() -> Status {
    TC_TRY(StoppedWorld world, StoppedWorld::stop(child_.pid()));
    EXPECT_TRUE(stands_still(facts_->counter));
    EXPECT_EQ(world.threads().size(), 2U);
    for (const auto& t : world.threads()) {
      EXPECT_EQ(t.asleep_in_kernel, t.thread.tid() == child_.pid());
      EXPECT_EQ(t.stopped, t.thread.tid() != child_.pid());
      EXPECT_NE(t.registers.ip(), 0U);
      EXPECT_NE(t.registers.sp(), 0U);
    }
    return {};
  });
  ASSERT_TRUE(held) << held.error().line();
  EXPECT_TRUE(advances(facts_->counter));
  EXPECT_FALSE(facts_->back);
  facts_->end = true;
  EXPECT_TRUE(eventually([&] { return facts_->back.load(); }));
}

TEST_F(Vfork, TheParentIsNoCandidate) {
  const auto tids = candidates(child_.pid());
  ASSERT_TRUE(tids) << tids.error().line();
  EXPECT_EQ(std::count(tids->begin(), tids->end(), child_.pid()), 0);
}

TEST(Candidates, PreferThoseThatLoseNothing) {
  Shared<Counter> ready;
  const Child child([&] {
    std::thread([&] {  // in a call that would end with EINTR
      ++*ready;
      const uint64_t set = uint64_t{1} << (SIGRTMAX - 1);
      ::syscall(SYS_rt_sigtimedwait, &set, nullptr, nullptr, sizeof set);
    })
        .detach();
    std::thread([&] {  // in one that goes on
      ++*ready;
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    })
        .detach();
  });
  const auto asleep = [&](int64_t call) {
    for (const pid_t tid : targets::list_threads(child.pid())) {
      const auto now = targets::read_thread_syscall(child.pid(), tid);
      if (now && !now->running && now->number == call) return tid;
    }
    return 0;
  };
  ASSERT_TRUE(eventually([&] {
    return *ready == 2 && asleep(SYS_rt_sigtimedwait) != 0 && asleep(SYS_clock_nanosleep) != 0 &&
           asleep(SYS_pause) != 0;
  }));
  const auto tids = candidates(child.pid());
  ASSERT_TRUE(tids);
  ASSERT_EQ(tids->size(), 3U);
  EXPECT_EQ(tids->front(), asleep(SYS_clock_nanosleep));
  EXPECT_EQ(tids->back(), asleep(SYS_rt_sigtimedwait));
}

TEST(Candidates, AreNoneInAZombie) {
  Child child;
  child.become_zombie();
  const auto tids = candidates(child.pid());
  ASSERT_FALSE(tids);
  EXPECT_EQ(tids.error().kind(), Exit::kFailed);
  EXPECT_FALSE(tids.error().remedy().empty());
}

}  // namespace
}  // namespace time_chaos::tracee
