// One held thread: it loses nothing by being held, and afterwards nobody can tell that it was.
#include "agent/tracee/seized_thread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>

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
using ::testing::HasSubstr;

class Spinning : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(advances(*counter_)); }
  Shared<Counter> counter_;
  Child child_{[this] { test::count_for_ever(*counter_); }, Child::Ready::kAtOnce};
};

TEST_F(Spinning, StopsAndGoesOn) {
  auto thread = SeizedThread::seize(child_.pid(), child_.pid());
  ASSERT_TRUE(thread) << thread.error().line();
  EXPECT_TRUE(advances(*counter_)) << "seizing stops nothing";
  const auto stop = thread->interrupt();
  ASSERT_TRUE(stop) << stop.error().line();
  EXPECT_EQ(stop->kind, Stop::Kind::kInterrupt);
  EXPECT_TRUE(stands_still(*counter_));
  ASSERT_TRUE(thread->go_on(*stop));
  EXPECT_TRUE(advances(*counter_));
  ASSERT_TRUE(thread->interrupt());
  EXPECT_TRUE(stands_still(*counter_));
  ASSERT_TRUE(thread->detach());
  EXPECT_TRUE(advances(*counter_));
  EXPECT_EQ(test::tracer_of(child_.pid()), 0);
}

TEST_F(Spinning, ASessionThatEndsLetsGo) {
  // Stopped, or only seized: the tracer's thread ends, and the child runs on, untraced.
  for (const bool stopped : {false, true}) {
    const auto held = in_session([&]() -> Status {
      TC_TRY(auto thread, SeizedThread::seize(child_.pid(), child_.pid()));
      if (stopped) TC_CHECK(thread.interrupt());
      return {};
    });
    ASSERT_TRUE(held) << held.error().line();
    EXPECT_TRUE(advances(*counter_)) << stopped;
    EXPECT_EQ(test::tracer_of(child_.pid()), 0);
  }
}

TEST_F(Spinning, RegistersComeBackAsTheyWereSet) {
  auto thread = SeizedThread::seize(child_.pid(), child_.pid());
  ASSERT_TRUE(thread);
  ASSERT_TRUE(thread->interrupt());
  const Registers before = thread->registers().value();
  EXPECT_EQ(before.call(), -1);
  EXPECT_NE(before.ip(), 0U);
  Registers changed = before;
  changed.raw.r15 = 0x123456789abcdef0;
  changed.raw.rax = 42;
  ASSERT_TRUE(thread->set_registers(changed));
  EXPECT_EQ(thread->registers().value(), changed);
  ASSERT_TRUE(thread->set_registers(before));
  EXPECT_EQ(thread->registers().value(), before);
  ASSERT_TRUE(thread->detach());
  EXPECT_TRUE(advances(*counter_));
}

TEST_F(Spinning, NothingToPollWhileItRuns) {
  auto thread = SeizedThread::seize(child_.pid(), child_.pid());
  ASSERT_TRUE(thread);
  const auto stop = thread->poll_stop();
  ASSERT_TRUE(stop);
  EXPECT_FALSE(*stop);
}

TEST(SeizedThread, NobodyWaitsForEverForAStop) {
  const Child child;  // asleep, and nobody interrupts it
  auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(thread);
  ASSERT_TRUE(eventually([&] { return test::state_of(child.pid()) == 'S'; }));
  const auto waited = thread->wait_stop(std::chrono::milliseconds(5));
  ASSERT_FALSE(waited);
  EXPECT_EQ(waited.error().kind(), Exit::kFailed);
  EXPECT_FALSE(waited.error().remedy().empty());
}

TEST_F(Spinning, IsSeizedByOneTracerOnly) {
  const auto mine = SeizedThread::seize(child_.pid(), child_.pid());
  ASSERT_TRUE(mine);
  const auto second = in_session([&] { return SeizedThread::seize(child_.pid(), child_.pid()); });
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), Exit::kNotPermitted);
  EXPECT_THAT(second.error().line(),
              HasSubstr("already traced by unit_tracee (pid " + std::to_string(::getpid())));
}

TEST_F(Spinning, ItsEndIsNoTarget) {
  auto thread = SeizedThread::seize(child_.pid(), child_.pid());
  ASSERT_TRUE(thread);
  ::kill(child_.pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return test::state_of(child_.pid()) == 'Z'; }));
  const auto stop = thread->interrupt();
  ASSERT_FALSE(stop);
  EXPECT_EQ(stop.error().kind(), Exit::kNoTarget);
  // A zombie that is still ours is gone, not "already traced".
  const auto again = SeizedThread::seize(child_.pid(), child_.pid());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind(), Exit::kNoTarget) << again.error().line();
  const pid_t gone = child_.pid();
  child_.end();
  const auto never = SeizedThread::seize(gone, gone);
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().kind(), Exit::kNoTarget);
}

TEST(SeizedThread, AZombieIsNoTarget) {
  Child child;
  child.become_zombie();
  const auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_FALSE(thread);
  EXPECT_EQ(thread.error().kind(), Exit::kNoTarget);
  EXPECT_THAT(thread.error().line(), HasSubstr("has ended"));
}

TEST(SeizedThread, SystemCallsStopAtEntryAndExit) {
  Shared<Counter> calls;
  const Child child(
      [&] {
        for (;;) {
          ::syscall(SYS_getpid);
          ++*calls;
        }
      },
      Child::Ready::kAtOnce);
  ASSERT_TRUE(advances(*calls));
  auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(thread);
  ASSERT_TRUE(thread->interrupt());
  int entries = 0;
  int exits = 0;
  for (int i = 0; i < 6; i++) {
    ASSERT_TRUE(thread->resume_to_syscall());
    const auto stop = thread->wait_stop(std::chrono::milliseconds(10'000));
    ASSERT_TRUE(stop);
    ASSERT_EQ(stop->kind, Stop::Kind::kSyscall);
    const Registers registers = thread->registers().value();
    EXPECT_EQ(registers.call(), SYS_getpid);
    registers.result() == -ENOSYS ? entries++ : exits++;
  }
  EXPECT_EQ(entries, 3);
  EXPECT_EQ(exits, 3);
}

TEST(SeizedThread, AGroupStopIsKept) {
  Shared<Counter> counter;
  Child child([&] { test::count_for_ever(*counter); }, Child::Ready::kAtOnce);
  ASSERT_TRUE(advances(*counter));
  child.stop();
  const auto held = in_session([&]() -> Result<Stop> {
    TC_TRY(auto thread, SeizedThread::seize(child.pid(), child.pid()));
    TC_TRY(const Stop stop, thread.interrupt());
    TC_CHECK(thread.go_on(stop));
    serve({thread}, std::chrono::milliseconds(3));
    EXPECT_TRUE(stands_still(*counter));
    return stop;
  });
  ASSERT_TRUE(held) << held.error().line();
  EXPECT_EQ(held->kind, Stop::Kind::kGroup);
  EXPECT_EQ(held->signal, SIGSTOP);
  EXPECT_TRUE(eventually([&] { return test::state_of(child.pid()) == 'T'; }));
  EXPECT_EQ(test::tracer_of(child.pid()), 0);
  EXPECT_TRUE(stands_still(*counter));
  ::kill(child.pid(), SIGCONT);
  EXPECT_TRUE(advances(*counter));
}

TEST(SeizedThread, AGroupStopThatIsDetachedFromIsKeptToo) {
  Shared<Counter> counter;
  Child child([&] { test::count_for_ever(*counter); }, Child::Ready::kAtOnce);
  ASSERT_TRUE(advances(*counter));
  child.stop();
  auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(thread);
  ASSERT_TRUE(thread->interrupt());
  ASSERT_TRUE(thread->detach());
  EXPECT_TRUE(eventually([&] { return test::state_of(child.pid()) == 'T'; }));
  EXPECT_TRUE(stands_still(*counter));
}

// sigsuspend runs under a mask that is not the thread's own: the own one must be back when the
// thread is made to run something else, and the wait must go on under the temporary one.
TEST(SeizedThread, ATemporaryMaskIsDroppedAndComesBackByItself) {
  Shared<Counter> handled;
  static Counter* seen = nullptr;
  seen = &*handled;
  const Child suspended(
      [&] {
        struct sigaction action {};
        action.sa_handler = [](int) { ++*seen; };
        ::sigaction(SIGUSR1, &action, nullptr);
        sigset_t own, none;
        sigemptyset(&none);
        sigemptyset(&own);
        sigaddset(&own, SIGUSR1);
        ::sigprocmask(SIG_BLOCK, &own, nullptr);
        for (;;) ::sigsuspend(&none);
      },
      Child::Ready::kAtOnce);
  const pid_t pid = suspended.pid();
  const uint64_t bit = uint64_t{1} << (SIGUSR1 - 1);
  const auto blocked = [&] { return (targets::read_status(pid)->blocked & bit) != 0; };
  ASSERT_TRUE(eventually([&] { return test::sleeps_in(pid, SYS_rt_sigsuspend) && !blocked(); }));
  auto thread = SeizedThread::seize(pid, pid);
  ASSERT_TRUE(thread);
  ASSERT_TRUE(thread->interrupt());
  EXPECT_NE(thread->signal_mask().value() & bit, 0U);
  ASSERT_TRUE(thread->drop_temporary_mask());
  EXPECT_TRUE(blocked());
  ASSERT_TRUE(thread->detach());
  EXPECT_TRUE(eventually([&] { return test::sleeps_in(pid, SYS_rt_sigsuspend) && !blocked(); }));
  EXPECT_EQ(*handled, 0U);
  ::kill(pid, SIGUSR1);
  EXPECT_TRUE(eventually([&] { return *handled == 1; }));
}

TEST(SignalDeliverable, KnowsPendingFromBlocked) {
  const Child child([] {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
  });
  EXPECT_FALSE(signal_deliverable(child.pid(), child.pid()));
  ::kill(child.pid(), SIGUSR1);
  EXPECT_FALSE(signal_deliverable(child.pid(), child.pid()));  // blocked
  auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(thread);
  ASSERT_TRUE(thread->interrupt());
  ::kill(child.pid(), SIGUSR2);  // waits while it is stopped
  EXPECT_TRUE(signal_deliverable(child.pid(), child.pid()));
}

}  // namespace
}  // namespace time_chaos::tracee
