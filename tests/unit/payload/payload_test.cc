// The payload against the formula: the assembly that targets run is held to tc_map_apply() bit for
// bit, and to the manners of the functions that it stands in for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <limits>

#include "agent/payload/layout.h"
#include "tests/unit/payload/loaded_payload.h"
#include "tests/unit/payload/random_map.h"

namespace time_chaos::payload {
namespace {

using test::LoadedPayload;
using test::Moment;
using test::RandomMaps;
using test::Seen;

constexpr int kRealtime = 0;
constexpr int kRealtimeCoarse = 5;
constexpr int kRandomMaps = 1'000'000;

// Nobody would take a reading through this map for one through another.
tc_clock_map poison() {
  tc_clock_map map{};
  map.fake_sec = map.after_sec = 0x5a5a5a5a5a5a;
  map.fake_nsec = map.after_nsec = 123456789;
  return map;
}

tc_clock_map* copy_of(tc_clock_page& page, uint32_t latch) {
  return const_cast<tc_clock_map*>(tc_page_maps(&page, latch));
}

void poison_all(tc_clock_page& page) {
  std::fill_n(copy_of(page, page.latch), TC_CLOCK_COUNT, poison());
  std::fill_n(copy_of(page, tc_next_latch(page.latch)), TC_CLOCK_COUNT, poison());
}

tc_clock_table* table_of(tc_clock_page& page, uint32_t latch) {
  return const_cast<tc_clock_table*>(tc_page_table(&page, latch));
}

Moment shown(const tc_clock_map& map, const tc_clock_table& table, const Moment& real) {
  Moment moment = real;
  tc_map_apply(&map, &table, &moment.sec, &moment.nsec);
  return moment;
}

std::string text(const tc_clock_map& m, const Moment& real) {
  return ::testing::PrintToString(m.kind) + " real " + std::to_string(real.sec) + "." +
         std::to_string(real.nsec) + " fake " + std::to_string(m.fake_sec) + "." +
         std::to_string(m.fake_nsec) + " anchor " + std::to_string(m.real_sec) + "." +
         std::to_string(m.real_nsec) + " rate " + std::to_string(m.rate) + " until " +
         std::to_string(m.until_sec) + "." + std::to_string(m.until_nsec);
}

TEST(PayloadProperty, AllFunctionsShowWhatTheFormulaSays) {
  const LoadedPayload payload;
  tc_clock_page& page = payload.page();
  poison_all(page);
  RandomMaps random(20260802);
  for (int i = 0; i < kRandomMaps; i++) {
    const Moment real = random.moment();
    const tc_clock_map map = random.map(real);
    const auto clock = static_cast<int>(random.below(TC_CLOCK_COUNT));
    page.latch = static_cast<uint32_t>(random.below(uint64_t{1} << 32));
    tc_clock_map* copy = copy_of(page, page.latch);
    payload.mock().sec = real.sec;
    payload.mock().nsec = real.nsec;
    if (map.kind == TC_MAP_SCHEDULE) *table_of(page, page.latch) = random.table();
    const Moment wanted = shown(map, *table_of(page, page.latch), real);

    copy[clock] = map;
    timespec got{};
    ASSERT_EQ(payload.clock_gettime(clock, &got), 0);
    ASSERT_EQ(payload.mock().last_clock, clock);
    ASSERT_TRUE(got.tv_sec == wanted.sec && got.tv_nsec == wanted.nsec)
        << "clock_gettime(" << clock << ") " << got.tv_sec << "." << got.tv_nsec << " wanted "
        << wanted.sec << "." << wanted.nsec << ", map " << text(map, real);
    copy[clock] = poison();

    copy[kRealtime] = map;
    timeval day{};
    ASSERT_EQ(payload.gettimeofday(&day, nullptr), 0);
    ASSERT_EQ(payload.mock().last_clock, kRealtime);
    ASSERT_TRUE(day.tv_sec == wanted.sec && day.tv_usec == wanted.nsec / 1000)
        << "gettimeofday " << day.tv_sec << "." << day.tv_usec << ", map " << text(map, real);

    time_t stored = 0;
    ASSERT_EQ(payload.time(&stored), wanted.sec) << text(map, real);
    ASSERT_EQ(stored, wanted.sec);
    ASSERT_EQ(payload.mock().last_clock, kRealtimeCoarse);
    copy[kRealtime] = poison();
  }
}

// A drift of 200 ppm, over an hour of the host's readings: to within 1 ppm of what has passed.
TEST(PayloadProperty, ADriftIsExactAfterAnHour) {
  constexpr int64_t kBegin = 1'800'000'000, kHour = 3600 * TC_NSEC_PER_SEC, kStep = 73'000'001;
  constexpr int64_t kRate = TC_RATE_ONE + TC_RATE_ONE / 5000;
  const LoadedPayload payload;
  tc_clock_map& map = copy_of(payload.page(), 0)[kRealtime];
  map = tc_clock_map{};
  map.kind = TC_MAP_RATE;
  map.fake_sec = map.real_sec = kBegin;
  map.rate = map.before = kRate;
  map.rate_sec = map.before_sec = kRate / TC_NSEC_PER_SEC * TC_RATE_ONE +
                                  kRate % TC_NSEC_PER_SEC * TC_RATE_ONE / TC_NSEC_PER_SEC;
  map.until_sec = TC_NEVER;
  for (int64_t passed = 0; passed <= kHour; passed += kStep) {
    payload.mock().sec = kBegin + passed / TC_NSEC_PER_SEC;
    payload.mock().nsec = passed % TC_NSEC_PER_SEC;
    timespec got{};
    ASSERT_EQ(payload.clock_gettime(kRealtime, &got), 0);
    const int64_t shown = (got.tv_sec - kBegin) * TC_NSEC_PER_SEC + got.tv_nsec;
    ASSERT_LE(std::abs(shown - passed - passed / 5000), passed / 1'000'000 + 2) << passed;
  }
}

TEST(PayloadProperty, MicrosecondsAreExactAtEveryEdge) {
  const LoadedPayload payload;
  for (int64_t edge = 0; edge < TC_NSEC_PER_SEC; edge += 999'000) {
    for (const int64_t nsec : {edge, edge + 1, edge + 999, edge + 1000}) {
      if (nsec >= TC_NSEC_PER_SEC) continue;
      payload.mock().nsec = nsec;
      copy_of(payload.page(), 0)[kRealtime].until_sec = TC_NEVER;
      timeval day{};
      ASSERT_EQ(payload.gettimeofday(&day, nullptr), 0);
      ASSERT_EQ(day.tv_usec, nsec / 1000) << nsec;
    }
  }
}

TEST(Payload, APageOfZerosShowsEveryClockAsItIs) {
  const LoadedPayload payload;
  payload.mock().sec = 1'800'000'000;
  payload.mock().nsec = 999'999'999;
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    timespec got{};
    EXPECT_EQ(payload.clock_gettime(clock, &got), 0);
    EXPECT_EQ(got.tv_sec, 1'800'000'000);
    EXPECT_EQ(got.tv_nsec, 999'999'999);
  }
  EXPECT_EQ(payload.time(nullptr), 1'800'000'000);
}

TEST(Payload, OtherClocksPassStraightThrough) {
  const LoadedPayload payload;
  poison_all(payload.page());
  // What a map of clock 12 would be made of, if there were one.
  std::fill_n(payload.page().experiment, TC_EXPERIMENT_NAME_MAX, 'x');
  // Negative ids, CPU-time clocks of processes and dynamic clocks of file descriptors (~fd << 3 |
  // 3) are negative numbers; 12 and 16..23 are the kernel's next.
  for (const int clock : {-1, 12, 13, 16, 99, (~3 << 3) | 3, (~4242 << 3) | 2, -6,
                          std::numeric_limits<int>::min(), std::numeric_limits<int>::max()}) {
    payload.mock().sec = 77;
    payload.mock().nsec = 88;
    payload.mock().calls = 0;
    timespec got{1, 2};
    EXPECT_EQ(payload.clock_gettime(clock, &got), 0) << clock;
    EXPECT_EQ(payload.mock().last_clock, clock);
    EXPECT_EQ(payload.mock().calls, 1);
    EXPECT_EQ(got.tv_sec, 77) << clock;
    EXPECT_EQ(got.tv_nsec, 88) << clock;
    payload.mock().error = -EINVAL;
    got = {1, 2};
    EXPECT_EQ(payload.clock_gettime(clock, &got), -EINVAL) << clock;
    EXPECT_EQ(got.tv_sec, 1) << clock;
    payload.mock().error = 0;
  }
}

// A clockid_t is an int: the ABI leaves the upper half of the register undefined.
TEST(Payload, TheUpperHalfOfTheClockIdDoesNotCount) {
  const LoadedPayload payload;
  tc_clock_page& page = payload.page();
  copy_of(page, 0)[1].fake_sec = 5;
  copy_of(page, 0)[1].until_sec = TC_NEVER;
  payload.mock().then = [&] {  // and not in the second round either
    if (payload.mock().calls > 1) return;
    page.latch = tc_next_latch(0);
    copy_of(page, page.latch)[1] = copy_of(page, 0)[1];
  };
  payload.mock().sec = 10;
  timespec got{};
  const Seen seen = payload.call_watched(Function::kClockGettime, 0xdeadbeef00000001,
                                         reinterpret_cast<uint64_t>(&got));
  EXPECT_EQ(seen.result, 0U);
  EXPECT_EQ(payload.mock().last_clock, 1);
  EXPECT_EQ(payload.mock().calls, 2);
  EXPECT_EQ(got.tv_sec, 15);
}

TEST(Payload, AFailingClockLeavesTheBufferAndReturnsItsError) {
  const LoadedPayload payload;
  poison_all(payload.page());
  payload.mock().error = -EPERM;
  timespec got{111, 222};
  EXPECT_EQ(payload.clock_gettime(kRealtime, &got), -EPERM);
  EXPECT_EQ(got.tv_sec, 111);
  EXPECT_EQ(got.tv_nsec, 222);
  timeval day{333, 444};
  struct timezone zone {
    555, 666
  };
  EXPECT_EQ(payload.gettimeofday(&day, &zone), -EPERM);
  EXPECT_EQ(day.tv_sec, 333);
  EXPECT_EQ(day.tv_usec, 444);
  EXPECT_EQ(zone.tz_minuteswest, 555);
  time_t stored = 777;
  EXPECT_EQ(payload.time(&stored), -EPERM);
  EXPECT_EQ(stored, 777);
}

TEST(Payload, GettimeofdayTakesNullForEitherArgument) {
  const LoadedPayload payload;
  payload.page().tz_minuteswest = -120;
  payload.page().tz_dsttime = 3;
  payload.mock().sec = 9;
  struct timezone zone {};
  EXPECT_EQ(payload.gettimeofday(nullptr, &zone), 0);
  EXPECT_EQ(zone.tz_minuteswest, -120);
  EXPECT_EQ(zone.tz_dsttime, 3);
  EXPECT_EQ(payload.mock().calls, 0);
  EXPECT_EQ(payload.gettimeofday(nullptr, nullptr), 0);
  timeval day{};
  zone = {};
  EXPECT_EQ(payload.gettimeofday(&day, &zone), 0);
  EXPECT_EQ(day.tv_sec, 9);
  EXPECT_EQ(zone.tz_minuteswest, -120);
}

// The maps change while the original runs: what is shown is the new maps', at a new reading.
TEST(Payload, AChangeInTheMiddleOfACallIsSeen) {
  const LoadedPayload payload;
  tc_clock_page& page = payload.page();
  RandomMaps random(7);
  for (int i = 0; i < 20'000; i++) {
    const auto latch = static_cast<uint32_t>(random.below(uint64_t{1} << 32));
    const auto clock = static_cast<int>(random.below(TC_CLOCK_COUNT));
    const Moment real = random.moment();
    const tc_clock_map next = random.map(real);
    const tc_clock_table table = random.table();
    const Moment wanted = shown(next, table, real);
    const auto begin = [&](int mapped) {
      poison_all(page);
      page.latch = latch;
      payload.mock().calls = 0;
      payload.mock().sec = 1;
      payload.mock().nsec = 1;
      *table_of(page, latch) = random.table();
      payload.mock().then = [&page, &payload, &table, latch, next, real, mapped] {
        if (payload.mock().calls > 1) return;
        page.latch = tc_next_latch(latch);
        copy_of(page, page.latch)[mapped] = next;
        *table_of(page, page.latch) = table;
        payload.mock().sec = real.sec;
        payload.mock().nsec = real.nsec;
      };
    };
    begin(clock);
    timespec got{};
    ASSERT_EQ(payload.clock_gettime(clock, &got), 0);
    ASSERT_EQ(payload.mock().calls, 2);
    ASSERT_EQ(payload.mock().last_clock, clock);
    ASSERT_TRUE(got.tv_sec == wanted.sec && got.tv_nsec == wanted.nsec) << text(next, real);
    begin(kRealtime);
    timeval day{};
    ASSERT_EQ(payload.gettimeofday(&day, nullptr), 0);
    ASSERT_EQ(payload.mock().calls, 2);
    ASSERT_EQ(payload.mock().last_clock, kRealtime);
    ASSERT_TRUE(day.tv_sec == wanted.sec && day.tv_usec == wanted.nsec / 1000) << text(next, real);
    begin(kRealtime);
    ASSERT_EQ(payload.time(nullptr), wanted.sec) << text(next, real);
    ASSERT_EQ(payload.mock().calls, 2);
    ASSERT_EQ(payload.mock().last_clock, kRealtimeCoarse);
  }
}

class Manners : public ::testing::TestWithParam<Function> {};

// On every way through: shifted, ended, failed, run again, passed on.
TEST_P(Manners, KeepRegistersStackAndLeaveNoReturnAddress) {
  const LoadedPayload payload;
  RandomMaps random(11);
  std::array<int64_t, 4> buffer{};
  for (int i = 0; i < 5000; i++) {
    const Moment real = random.moment();
    for (const uint32_t latch : {uint32_t{0}, tc_next_latch(0)}) {
      for (int c = 0; c < TC_CLOCK_COUNT; c++) copy_of(payload.page(), latch)[c] = random.map(real);
      *table_of(payload.page(), latch) = random.table();
    }
    payload.mock() = {real.sec, real.nsec, random.below(8) == 0 ? -EFAULT : 0, 0, -1, {}};
    if (random.below(3) == 0) {
      payload.mock().then = [&] {
        if (payload.mock().calls == 1) {
          payload.page().latch = tc_next_latch(payload.page().latch);
        }
      };
    }
    const bool clock = GetParam() == Function::kClockGettime;
    const auto into = reinterpret_cast<uint64_t>(buffer.data());
    const Seen seen = clock ? payload.call_watched(GetParam(), random.below(14), into)
                            : payload.call_watched(GetParam(), into, into + 16);
    ASSERT_EQ(seen.rsp_after, seen.rsp_before);
    ASSERT_THAT(seen.saved_after, ::testing::ElementsAreArray(seen.saved_before));
    for (const uint64_t word : seen.below) {
      ASSERT_FALSE(payload.holds(word)) << "a return address below the stack pointer";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Payload, Manners,
                         ::testing::Values(Function::kClockGettime, Function::kGettimeofday,
                                           Function::kTime),
                         [](const auto& test) { return std::string(function_name(test.param)); });

TEST(PayloadLayout, FitsInFrontOfTheRecord) {
  EXPECT_LE(code().size(), kRecordOffset);
  EXPECT_EQ(code().size(), original_offset() + kOriginalSlotSize);
  EXPECT_EQ(hook_offset(Function::kClockGettime), 0U);
  EXPECT_LT(hook_offset(Function::kClockGettime), hook_offset(Function::kGettimeofday));
  EXPECT_LT(hook_offset(Function::kGettimeofday), hook_offset(Function::kTime));
  EXPECT_LT(hook_offset(Function::kTime), original_offset());
}

TEST(PayloadLayout, TheSlotForTheOriginalTrapsUntilItIsFilled) {
  for (const uint8_t byte : code().subspan(original_offset())) EXPECT_EQ(byte, 0xcc);
}

TEST(PayloadLayout, NamesAreThoseOfTheVdso) {
  EXPECT_STREQ(function_name(Function::kTime), "time");
  EXPECT_STREQ(function_symbol(Function::kGettimeofday), "__vdso_gettimeofday");
  EXPECT_STREQ(function_symbol(Function::kClockGettime), "__vdso_clock_gettime");
}

}  // namespace
}  // namespace time_chaos::payload
