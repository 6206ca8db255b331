// Which calls wait for an absolute time, and waits that begin anew while they last.
#include "agent/tracee/waits_anew.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <csignal>

#include "agent/tracee/wait_calls.h"
#include "tests/unit/tracee/support.h"

namespace time_chaos::tracee {
namespace {

using test::Child;
using test::eventually;
using test::Shared;

std::optional<Deadline> of(int64_t number, std::array<uint64_t, 6> arguments,
                           uint32_t arch = AUDIT_ARCH_X86_64) {
  return deadline_of(arch, number, arguments);
}

TEST(ChangesTimer, IsSettingAndDeletingIt) {
  EXPECT_TRUE(changes_timer(AUDIT_ARCH_X86_64, SYS_timer_settime));
  EXPECT_TRUE(changes_timer(AUDIT_ARCH_X86_64, SYS_timer_delete));
  EXPECT_FALSE(changes_timer(AUDIT_ARCH_X86_64, SYS_timer_gettime));
  EXPECT_FALSE(changes_timer(AUDIT_ARCH_X86_64, SYS_timerfd_settime));
  for (const int64_t number : {260, 263, 409}) EXPECT_TRUE(changes_timer(AUDIT_ARCH_I386, number));
  EXPECT_FALSE(changes_timer(AUDIT_ARCH_I386, SYS_timer_settime));
  EXPECT_TRUE(changes_timer(AUDIT_ARCH_I386, timer_settime_number(true)));
}

TEST(DeadlineOf, KnowsFutexOperationsAndTheirClocks) {
  constexpr uint64_t kTime = 0x1000;
  const auto futex = [&](uint64_t operation) {
    return of(SYS_futex, {0, operation, 0, kTime, 0, 0});
  };
  EXPECT_FALSE(futex(FUTEX_WAIT)) << "relative";
  EXPECT_FALSE(futex(FUTEX_WAIT | FUTEX_CLOCK_REALTIME | FUTEX_PRIVATE_FLAG)) << "relative, too";
  EXPECT_FALSE(futex(FUTEX_WAKE));
  EXPECT_EQ(futex(FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG)->clock, CLOCK_MONOTONIC);
  EXPECT_EQ(futex(FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME)->clock, CLOCK_REALTIME);
  EXPECT_EQ(futex(FUTEX_LOCK_PI)->clock, CLOCK_REALTIME);
  EXPECT_EQ(futex(13)->clock, CLOCK_MONOTONIC);
  EXPECT_EQ(futex(13 | FUTEX_CLOCK_REALTIME)->clock, CLOCK_REALTIME);
  EXPECT_EQ(futex(FUTEX_WAIT_REQUEUE_PI)->argument, 3);
  EXPECT_TRUE(of(240, {0, FUTEX_WAIT_BITSET, 0, kTime, 0, 0}, AUDIT_ARCH_I386)->narrow);
  EXPECT_FALSE(of(422, {0, FUTEX_WAIT_BITSET, 0, kTime, 0, 0}, AUDIT_ARCH_I386)->narrow);
}

TEST(DeadlineOf, KnowsTimersQueuesAndSleeps) {
  EXPECT_FALSE(of(SYS_clock_nanosleep, {CLOCK_REALTIME, 0, 1, 0, 0, 0}));
  EXPECT_EQ(of(SYS_clock_nanosleep, {CLOCK_TAI, 1, 1, 0, 0, 0})->clock, CLOCK_TAI);
  EXPECT_FALSE(of(SYS_timerfd_settime, {3, 0, 1, 0, 0, 0}));
  EXPECT_EQ(of(SYS_timerfd_settime, {3, 1, 1, 0, 0, 0})->source, Deadline::Clock::kTimerfd);
  EXPECT_TRUE(of(SYS_timer_settime, {3, 1, 1, 0, 0, 0})->setting);
  EXPECT_EQ(of(SYS_mq_timedreceive, {0, 0, 0, 0, 1, 0})->argument, 4);
  EXPECT_EQ(of(449, {0, 0, 0, 1, CLOCK_MONOTONIC, 0})->clock, CLOCK_MONOTONIC);
  EXPECT_EQ(of(455, {0, 0, 0, 0, 1, CLOCK_REALTIME})->argument, 4);
  EXPECT_FALSE(of(SYS_read, {0, 1, 1, 1, 1, 1}));
  EXPECT_FALSE(of(SYS_clock_nanosleep, {0, 1, 1, 0, 0, 0}, AUDIT_ARCH_AARCH64));
}

TEST(WaitingAnew, OnlyWhatTheKernelRemembersTheEndOf) {
  Registers registers;
  registers.raw.cs = 0x33;
  registers.raw.orig_rax = SYS_futex;
  registers.raw.rax = static_cast<uint64_t>(-516);
  registers.raw.rsi = FUTEX_WAIT_BITSET;
  registers.raw.r10 = 0x1000;
  EXPECT_EQ(waiting_anew(registers).result(), -514);
  registers.raw.r10 = 0;
  EXPECT_EQ(waiting_anew(registers), registers) << "it waits without an end";
  registers.raw.r10 = 0x1000;
  registers.raw.rsi = FUTEX_WAIT;
  EXPECT_EQ(waiting_anew(registers), registers) << "it waits for a length of time";
  registers.raw.rsi = FUTEX_WAIT_BITSET;
  registers.raw.rax = 0;
  EXPECT_EQ(waiting_anew(registers), registers) << "it is over";
}

struct Wait {
  std::atomic<int> result{1};
  std::atomic<uint32_t> word{0};
  timespec end{};
};

// Its end is read again: it is moved while the child waits for it.
TEST(BeginWaitsAnew, TheKernelReadsTheEndOfAFutexWaitAgain) {
  Shared<Wait> wait;
  ::clock_gettime(CLOCK_REALTIME, &wait->end);
  wait->end.tv_sec += 3600;
  const Child child(
      [&] {
        const long result =
            ::syscall(SYS_futex, &wait->word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0,
                      &wait->end, nullptr, FUTEX_BITSET_MATCH_ANY);
        wait->result = result == 0 ? 0 : -errno;
        for (;;) ::pause();
      },
      Child::Ready::kAtOnce);
  ASSERT_TRUE(eventually([&] { return test::state_of(child.pid()) == 'S'; }));
  auto begun = begin_waits_anew(child.pid());
  ASSERT_TRUE(begun) << begun.error().line();
  EXPECT_EQ(*begun, 1U);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(wait->result, 1) << "it waits on";
  // Once it was stopped, its registers do not tell which call it is.
  ::kill(child.pid(), SIGSTOP);
  ASSERT_TRUE(eventually([&] { return test::state_of(child.pid()) == 'T'; }));
  ::kill(child.pid(), SIGCONT);
  ASSERT_TRUE(eventually([&] { return resumed_futex(child.pid(), child.pid()); }));
  wait->end.tv_sec -= 3600;
  ASSERT_TRUE(begin_waits_anew(child.pid()));
  EXPECT_TRUE(eventually([&] { return wait->result == -ETIMEDOUT; }));
  EXPECT_EQ(test::tracer_of(child.pid()), 0);
}

}  // namespace
}  // namespace time_chaos::tracee
