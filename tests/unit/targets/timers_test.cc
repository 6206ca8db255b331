// What /proc says of timers: captured texts, and the real ones of this process.
#include "agent/targets/timers.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <csignal>

#include "agent/base/scoped_fd.h"

namespace time_chaos::targets {
namespace {

TEST(Timerfd, IsParsed) {
  const auto timer = parse_timerfd(
      "pos:\t0\nflags:\t02\nmnt_id:\t16\nino:\t2077\nclockid: 7\nticks: 3\nsettime flags: 03\n"
      "it_value: (12, 999000001)\nit_interval: (0, 250)\n");
  ASSERT_TRUE(timer) << timer.error().line();
  EXPECT_EQ(timer->clock, 7);
  EXPECT_EQ(timer->flags, 3U);
  EXPECT_EQ(timer->ticks, 3U);
  EXPECT_EQ(timer->value_sec, 12);
  EXPECT_EQ(timer->value_nsec, 999000001);
  EXPECT_EQ(timer->interval_nsec, 250);
}

TEST(Timerfd, NothingElseIsOne) {
  EXPECT_FALSE(parse_timerfd(""));
  EXPECT_FALSE(parse_timerfd("pos:\t0\nflags:\t02\neventfd-count: 3\n"));
  EXPECT_FALSE(parse_timerfd("clockid: 1\nticks: 0\nsettime flags: 01\nit_value: (1\n"));
  EXPECT_FALSE(
      parse_timerfd("clockid: 1\nticks: 0\nsettime flags: 01\nit_value:\nit_interval: (,)\n"));
  EXPECT_FALSE(read_timerfd(::getpid(), 0x3fffffff));
}

TEST(Timerfd, OfThisProcess) {
  const ScopedFd fd(::timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC));
  const itimerspec setting{{0, 0}, {INT32_MAX, 0}};
  ASSERT_EQ(::timerfd_settime(fd.get(), TFD_TIMER_ABSTIME, &setting, nullptr), 0);
  const auto timer = read_timerfd(::getpid(), fd.get());
  ASSERT_TRUE(timer) << timer.error().line();
  EXPECT_EQ(timer->clock, CLOCK_BOOTTIME);
  EXPECT_EQ(timer->flags, unsigned{TFD_TIMER_ABSTIME});
  EXPECT_GT(timer->value_sec, 0);
}

TEST(TimerSignal, IsThatOfItsId) {
  const auto text =
      "ID: 3\nsignal: 34/000055de5b3e9f60\nnotify: signal/pid.7\nClockID: 0\n"
      "ID: 4\nsignal: 9/0\nnotify: none/pid.7\nClockID: 1\n";
  EXPECT_EQ(parse_timer_signal(text, 3).value_or(0), 34);
  EXPECT_EQ(parse_timer_signal(text, 4).value_or(0), 9);
  EXPECT_FALSE(parse_timer_signal(text, 5));
  EXPECT_FALSE(parse_timer_signal("ID: 3\nsignal: /\n", 3));
  EXPECT_FALSE(parse_timer_signal("", 0));
}

TEST(TimerClock, IsThatOfItsId) {
  const char* const text =
      "ID: 1\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\n"
      "ID: 0\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 1\n";
  EXPECT_EQ(parse_timer_clock(text, 1).value_or(-1), 0);
  EXPECT_EQ(parse_timer_clock(text, 0).value_or(-1), 1);
  EXPECT_FALSE(parse_timer_clock(text, 2));
}

TEST(TimerClock, OfThisProcess) {
  sigevent event{};
  event.sigev_notify = SIGEV_NONE;
  int timer = -1;
  ASSERT_EQ(::syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer), 0);
  const auto clock = read_timer_clock(::getpid(), timer);
  ASSERT_TRUE(clock) << clock.error().line();
  EXPECT_EQ(*clock, CLOCK_MONOTONIC);
  ::syscall(SYS_timer_delete, timer);
}

}  // namespace
}  // namespace time_chaos::targets
