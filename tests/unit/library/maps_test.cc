// Clock maps on this process itself.
#include <poll.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "tests/unit/library/library_test.h"

namespace time_chaos::test {
namespace {

class MapsTest : public LibraryTest {};

bool near(int64_t a, int64_t b) {
  return std::abs(a - b) < kSlack;
}

void sleep_really(int milliseconds) {
  ::poll(nullptr, 0, milliseconds);
}

TEST_F(MapsTest, ShiftsAllFunctionsAndGivesThemBack) {
  tc_layer layer = 0;
  const tc_clock hour = by(3600);
  ASSERT_TC_OK(tc_install_map(&hour, &layer));
  EXPECT_NE(layer, 0U);
  EXPECT_TRUE(near(shift(), kHour));
  EXPECT_TRUE(near(shift(CLOCK_REALTIME_COARSE), kHour));
  EXPECT_TRUE(near(shift(CLOCK_MONOTONIC), 0));
  timeval tv{};
  ASSERT_EQ(::gettimeofday(&tv, nullptr), 0);
  EXPECT_TRUE(near(tv.tv_sec * kSecond, real() + kHour));
  EXPECT_TRUE(near(::time(nullptr) * kSecond, real() + kHour));
  EXPECT_FALSE(vdso_bytes() == before_);
  ASSERT_TC_OK(tc_restore(layer));
  EXPECT_LT(std::abs(shift()), kSlack);
  EXPECT_TRUE(vdso_bytes() == before_);
}

TEST_F(MapsTest, StaysWithinTheDocumentedPages) {
  tc_layer layer = 0;
  const tc_clock hour = by(3600);
  ASSERT_TC_OK(tc_install_map(&hour, &layer));
  const auto ours = [] {
    std::ifstream maps("/proc/self/maps");
    std::vector<std::string> all;
    for (std::string line; std::getline(maps, line);) {
      if (line.find(" r-xp 00000000 00:00 0") != std::string::npos &&
          line.find("[vdso]") == std::string::npos) {
        all.push_back(line);
      }
    }
    return all;
  };
  const auto installed = ours();
  EXPECT_GE(installed.size(), 1U);
  EXPECT_LE(installed.size(), 5U);  // the code page and a landing page a function
  EXPECT_NE(maps_line("[vdso]").find(" r-xp "), std::string::npos);
  ASSERT_TC_OK(tc_restore(layer));
  for (int i = 0; i < 10; i++) {
    ASSERT_TC_OK(tc_install_map(&hour, &layer));
    ASSERT_TC_OK(tc_restore(layer));
  }
  EXPECT_EQ(ours(), installed);  // used again, none is added
}

TEST_F(MapsTest, FreezesAtADate) {
  tc_layer layer = 0;
  tc_clock clock = TC_CLOCK_INIT;
  clock.start = TC_AT;
  clock.value = {1893456000, 250000000};  // 2030-01-01
  clock.rate = 0;
  ASSERT_TC_OK(tc_install_map(&clock, &layer));
  EXPECT_EQ(shown(), 1893456000 * kSecond + 250000000);
  sleep_really(5);
  EXPECT_EQ(shown(), 1893456000 * kSecond + 250000000);
  EXPECT_EQ(::time(nullptr), 1893456000);
}

TEST_F(MapsTest, RunsAtARate) {
  tc_layer layer = 0;
  tc_clock clock = TC_CLOCK_INIT;
  clock.rate = 1000;
  ASSERT_TC_OK(tc_install_map(&clock, &layer));
  const int64_t real_before = real();
  const int64_t before = shown();
  sleep_really(20);
  const int64_t after = shown();
  const int64_t real_after = real();
  EXPECT_GE(after - before, 20 * kSecond);
  EXPECT_LE(after - before, (real_after - real_before) * 1000);
}

TEST_F(MapsTest, ChangesALayerInPlace) {
  tc_layer layer = 0;
  tc_clock clock = by(3600);
  ASSERT_TC_OK(tc_install_map(&clock, &layer));
  clock.value.tv_sec = -3600;
  ASSERT_TC_OK(tc_change(layer, &clock));
  EXPECT_TRUE(near(shift(), -kHour));
  clock.clocks = TC_CLOCK_BIT(CLOCK_MONOTONIC);
  EXPECT_EQ(tc_change(layer, &clock), TC_ERROR_INVALID);
  EXPECT_TRUE(near(shift(), -kHour));
}

TEST_F(MapsTest, NestsInAnyOrder) {
  tc_layer outer = 0;
  tc_layer middle = 0;
  tc_layer inner = 0;
  const tc_clock one = by(3600);
  tc_clock two = by(7200);
  two.clocks = TC_CLOCK_BIT(CLOCK_TAI);
  const tc_clock three = by(10800);
  ASSERT_TC_OK(tc_install_map(&one, &outer));
  ASSERT_TC_OK(tc_install_map(&two, &middle));
  EXPECT_TRUE(near(shift(), kHour));
  EXPECT_TRUE(near(shift(CLOCK_TAI), 2 * kHour));
  ASSERT_TC_OK(tc_install_map(&three, &inner));
  EXPECT_TRUE(near(shift(), 3 * kHour));
  EXPECT_TRUE(near(shift(CLOCK_TAI), 3 * kHour));
  ASSERT_TC_OK(tc_restore(middle));  // covered: nothing to be seen
  EXPECT_TRUE(near(shift(CLOCK_TAI), 3 * kHour));
  ASSERT_TC_OK(tc_restore(inner));
  EXPECT_TRUE(near(shift(CLOCK_TAI), kHour));
  ASSERT_TC_OK(tc_restore(outer));
  EXPECT_TRUE(near(shift(), 0));
}

TEST_F(MapsTest, MonotonicClocksNeverStepBack) {
  tc_layer layer = 0;
  tc_clock clock = by(-1);
  clock.clocks = TC_CLOCK_BIT(CLOCK_MONOTONIC);
  EXPECT_EQ(tc_install_map(&clock, &layer), TC_ERROR_INVALID);
  EXPECT_NE(std::string(tc_message()).find("monotonic"), std::string::npos) << tc_message();
  EXPECT_TRUE(vdso_bytes() == before_);
  clock.value.tv_sec = 3600;
  clock.flags = TC_ALLOW_MONOTONIC_STEP;
  ASSERT_TC_OK(tc_install_map(&clock, &layer));
  EXPECT_TRUE(near(shift(CLOCK_MONOTONIC), kHour));
  ASSERT_TC_OK(tc_restore(layer));
  EXPECT_TRUE(near(shift(CLOCK_MONOTONIC), 0));
}

TEST_F(MapsTest, MonotonicClocksThatAreAheadStayAhead) {
  kept_ = true;
  // In a child: it is for good.
  const pid_t child = ::fork();
  if (child == 0) {
    tc_layer layer = 0;
    tc_clock clock = TC_CLOCK_INIT;
    clock.clocks = TC_CLOCK_BIT(CLOCK_MONOTONIC);
    clock.rate = 1000;
    bool good = tc_install_map(&clock, &layer) == TC_OK;
    sleep_really(100);
    const int64_t before = shown(CLOCK_MONOTONIC);
    good = good && tc_restore(layer) == TC_KEPT;
    good = good && shown(CLOCK_MONOTONIC) >= before && shift(CLOCK_MONOTONIC) > kSecond;
    sleep_really(60);
    const int64_t ahead = shift(CLOCK_MONOTONIC);
    sleep_really(5);
    good = good && std::abs(shift(CLOCK_MONOTONIC) - ahead) < kSecond / 2;
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(MapsTest, AnswersLikeTheKernel) {
  tc_layer layer = 0;
  const tc_clock hour = by(3600);
  ASSERT_TC_OK(tc_install_map(&hour, &layer));
  timespec untouched{7, 8};
  EXPECT_EQ(::clock_gettime(12345, &untouched), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(untouched.tv_sec, 7);
  timespec cpu{};
  EXPECT_EQ(::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu), 0);
  EXPECT_LT(cpu.tv_sec, 1000);
  timespec resolution{};
  EXPECT_EQ(::clock_getres(CLOCK_MONOTONIC, &resolution), 0);
}

TEST_F(MapsTest, RefusesWhatMakesNoSense) {
  tc_layer layer = 0;
  const tc_clock good = by(1);
  EXPECT_EQ(tc_install_map(nullptr, &layer), TC_ERROR_INVALID);
  EXPECT_EQ(tc_install_map(&good, nullptr), TC_ERROR_INVALID);
  const auto bad = [&](auto spoil) {
    tc_clock clock = by(1);
    spoil(clock);
    EXPECT_EQ(tc_install_map(&clock, &layer), TC_ERROR_INVALID);
    EXPECT_NE(tc_message()[0], '\0');
  };
  bad([](tc_clock& c) { c.clocks = TC_CLOCK_BIT(20); });
  bad([](tc_clock& c) { c.clocks = TC_CLOCK_BIT(CLOCK_PROCESS_CPUTIME_ID), c.rate = 2; });
  bad([](tc_clock& c) { c.start = 3; });
  bad([](tc_clock& c) { c.value.tv_nsec = 1000000000; });
  bad([](tc_clock& c) { c.value.tv_nsec = -1; });
  bad([](tc_clock& c) { c.value.tv_sec = INT64_MAX; });
  bad([](tc_clock& c) { c.value.tv_sec = INT64_MIN; });
  bad([](tc_clock& c) { c.value.tv_sec = -9000000000; });  // before 1970
  bad([](tc_clock& c) { c.start = TC_FROM_NOW; });
  bad([](tc_clock& c) { c.start = TC_AT, c.value.tv_sec = -1; });
  bad([](tc_clock& c) { c.rate = 1e300 * 1e300; });
  bad([](tc_clock& c) { c.rate = 268435456.0; });
  bad([](tc_clock& c) { c.flags = 2; });
  bad([](tc_clock& c) { c.reserved = 1; });
  EXPECT_EQ(layer, 0U);
  EXPECT_TRUE(vdso_bytes() == before_);
}

TEST_F(MapsTest, RestoresOnce) {
  tc_layer layer = 0;
  const tc_clock hour = by(3600);
  ASSERT_TC_OK(tc_install_map(&hour, &layer));
  ASSERT_TC_OK(tc_restore(layer));
  EXPECT_EQ(tc_restore(layer), TC_ERROR_NO_LAYER);
  EXPECT_EQ(tc_restore(0), TC_ERROR_NO_LAYER);
  EXPECT_EQ(tc_change(layer, &hour), TC_ERROR_NO_LAYER);
  EXPECT_EQ(tc_change(layer, nullptr), TC_ERROR_INVALID);
  EXPECT_STRNE(tc_message(), "");
  EXPECT_EQ(tc_restore_all(), TC_OK);
  EXPECT_STREQ(tc_message(), "");
}

}  // namespace
}  // namespace time_chaos::test
