// Timerfds of this process, set anew as those of a target.
#include "agent/syscalls/timerfds.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <utility>

#include "agent/clock/rate_map.h"
#include "agent/syscalls/deadline.h"
#include "agent/targets/timers.h"

namespace time_chaos::syscalls {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;
using Map = std::map<int, TimerEnd>;

constexpr nanoseconds kHour = std::chrono::hours(1);
constexpr double kError = 5;  // seconds: of a busy machine

class Notes : public TimerfdNotes {
 public:
  explicit Notes(Map& map, std::function<void()> meanwhile = {})
      : map_(map), meanwhile_(std::move(meanwhile)) {}
  std::optional<TimerEnd> find(int fd) override {
    if (++asked_ == 2 && meanwhile_) meanwhile_();
    const auto found = map_.find(fd);
    return found == map_.end() ? std::nullopt : std::optional(found->second);
  }
  void note(int fd, const TimerEnd& end) override { map_[fd] = end; }

 private:
  Map& map_;
  // Between the look at a timer and its new setting, in the round for what is not known.
  std::function<void()> meanwhile_;
  int asked_ = 0;
};

clock::ClockMaps wall(const tc_clock_map& map) {
  clock::ClockMaps maps = clock::identity_maps();
  maps[CLOCK_REALTIME] = map;
  return maps;
}

clock::ClockMaps ahead(nanoseconds by) {
  return wall(clock::offset_map(by));
}

clock::ClockMaps frozen() {
  const clock::Reading now = read_host(CLOCK_REALTIME);
  return wall(clock::make_rate_map(now, now, 0));
}

clock::Reading from_now(nanoseconds span) {
  return clock::plus(read_host(CLOCK_REALTIME), span);
}

class Timerfds : public testing::Test {
 protected:
  void SetUp() override {
    const ScopedFd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const ScopedFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, self.get(), self.get(), 0)));
    if (!copy.valid()) GTEST_SKIP() << "pidfd_getfd is refused here";
  }

  static void set(int fd, clock::Reading end, int flags = TFD_TIMER_ABSTIME, seconds again = {}) {
    const itimerspec setting{{again.count(), 0}, {end.sec, end.nsec}};
    ASSERT_EQ(::timerfd_settime(fd, flags, &setting, nullptr), 0);
  }
  // 0: it is switched off, or over.
  static double left(int fd) {
    itimerspec setting{};
    EXPECT_EQ(::timerfd_gettime(fd, &setting), 0);
    return static_cast<double>(setting.it_value.tv_sec) +
           static_cast<double>(setting.it_value.tv_nsec) / 1e9;
  }
  void change(const clock::ClockMaps& before, const clock::ClockMaps& now,
              std::function<void()> meanwhile = {}) {
    TimerfdRound round;
    round.add(::getpid(), std::make_unique<Notes>(notes_, std::move(meanwhile)), before, now);
    round.run();
  }

  Map notes_;
  ScopedFd timer_{::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK)};
};

TEST_F(Timerfds, GoWithTheirClock) {
  set(timer_.get(), from_now(2 * kHour));
  change(clock::identity_maps(), ahead(kHour));
  EXPECT_NEAR(left(timer_.get()), 3600, kError);
  ASSERT_TRUE(notes_.contains(timer_.get()));
  change(ahead(kHour), ahead(-kHour));
  EXPECT_NEAR(left(timer_.get()), 3 * 3600, kError);
  change(ahead(-kHour), clock::identity_maps());
  EXPECT_NEAR(left(timer_.get()), 2 * 3600, kError);
}

TEST_F(Timerfds, ThatAreOverExpire) {
  set(timer_.get(), from_now(kHour));
  change(clock::identity_maps(), ahead(2 * kHour));
  EXPECT_EQ(left(timer_.get()), 0);
  uint64_t ticks = 0;
  EXPECT_EQ(::read(timer_.get(), &ticks, sizeof ticks), ssize_t{sizeof ticks});
  EXPECT_EQ(ticks, 1U);
  change(ahead(2 * kHour), clock::identity_maps());
  EXPECT_EQ(left(timer_.get()), 0) << "once";
}

TEST_F(Timerfds, ThatWereNotedComeBackFromNever) {
  const clock::ClockMaps still = frozen();
  set(timer_.get(), from_now(kHour));
  change(clock::identity_maps(), still);
  EXPECT_GT(left(timer_.get()), 1e9);
  change(still, clock::identity_maps());
  EXPECT_NEAR(left(timer_.get()), 3600, kError);
}

// As a forked child has its parent's, of which only the parent knows; or under another number.
TEST_F(Timerfds, AreSetByWhoeverKnowsThem) {
  const clock::ClockMaps still = frozen();
  const ScopedFd high(::fcntl(timer_.get(), F_DUPFD_CLOEXEC, 200));
  set(high.get(), from_now(kHour));
  change(clock::identity_maps(), still);
  const TimerEnd noted = notes_.begin()->second;
  notes_ = {{high.get(), noted}};
  change(still, clock::identity_maps());
  EXPECT_NEAR(left(timer_.get()), 3600, kError);
}

TEST_F(Timerfds, OfALengthOrOffAreLeftAlone) {
  set(timer_.get(), {3600, 0}, 0);
  const ScopedFd off(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC));
  const ScopedFd other(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  set(other.get(), clock::plus(read_host(CLOCK_MONOTONIC), kHour));
  change(clock::identity_maps(), ahead(-kHour));
  EXPECT_NEAR(left(timer_.get()), 3600, kError);
  EXPECT_EQ(left(off.get()), 0);
  EXPECT_NEAR(left(other.get()), 3600, kError);
  EXPECT_TRUE(notes_.empty());
}

TEST_F(Timerfds, KeepTheirIntervalAndWhatHasExpired) {
  set(timer_.get(), from_now(-seconds(10)), TFD_TIMER_ABSTIME, seconds(1000));
  change(clock::identity_maps(), ahead(-kHour));
  EXPECT_NEAR(left(timer_.get()), 3600 + 990, kError);
  const auto timer = targets::read_timerfd(::getpid(), timer_.get());
  ASSERT_TRUE(timer) << timer.error().line();
  EXPECT_EQ(timer->interval_sec, 1000);
  EXPECT_EQ(timer->ticks, 1U);
}

// The next one, a thousand seconds behind that which was noted, and when their map is over.
TEST_F(Timerfds, ThatRepeatAreCountedFromTheirNote) {
  const clock::Reading real = from_now(-seconds(10));
  set(timer_.get(), real, TFD_TIMER_ABSTIME, seconds(1000));
  notes_[timer_.get()] = {clock::plus(real, kHour), real};
  clock::ClockMaps before = ahead(kHour);
  before[CLOCK_REALTIME].until_sec = real.sec;
  change(before, clock::identity_maps());
  EXPECT_NEAR(left(timer_.get()), 3600 + 990, kError);
}

TEST_F(Timerfds, LieBehindTheEndOfTheirMap) {
  clock::ClockMaps before = ahead(kHour);
  before[CLOCK_REALTIME].until_sec = from_now(seconds(30)).sec;
  set(timer_.get(), from_now(kHour));
  change(before, clock::identity_maps());
  EXPECT_NEAR(left(timer_.get()), 2 * 3600, kError);
}

// The program is faster.
TEST_F(Timerfds, ThatAreSetMeanwhileStayAsTheyAre) {
  set(timer_.get(), from_now(2 * kHour));
  change(clock::identity_maps(), ahead(kHour), [&] { set(timer_.get(), {500, 0}, 0); });
  EXPECT_NEAR(left(timer_.get()), 500, kError);
  set(timer_.get(), from_now(2 * kHour));
  change(clock::identity_maps(), ahead(kHour), [&] { set(timer_.get(), {}, 0); });
  EXPECT_EQ(left(timer_.get()), 0);
  set(timer_.get(), from_now(2 * kHour), TFD_TIMER_ABSTIME, seconds(7));
  change(clock::identity_maps(), ahead(kHour), [&] { set(timer_.get(), {600, 0}, 0, seconds(8)); });
  EXPECT_NEAR(left(timer_.get()), 600, kError);
  // Mapped by the maps that are in force already, and noted.
  set(timer_.get(), from_now(2 * kHour));
  change(clock::identity_maps(), ahead(kHour), [&] {
    const clock::Reading real = from_now(seconds(700));
    set(timer_.get(), real);
    notes_[timer_.get()] = {clock::plus(real, kHour), real};
  });
  EXPECT_NEAR(left(timer_.get()), 700, kError);
}

}  // namespace
}  // namespace time_chaos::syscalls
