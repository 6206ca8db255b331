// The rules of time (DESIGN §6): what each clock shows after a shift, a change, a recovery and the
// end of a lease; and that a monotonic clock never steps back on the way.
#include "agent/clock/map_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <random>

#include "agent/clock/rate_map.h"

namespace time_chaos::clock {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr ClockSet kMonotonic(1U << CLOCK_MONOTONIC);
constexpr size_t kReal = CLOCK_REALTIME;
constexpr size_t kMono = CLOCK_MONOTONIC;

// A made-up host: 2026, up for a day, without a real-time clock device.
HostReadings host() {
  HostReadings now{};
  for (int id = 0; id < TC_CLOCK_COUNT; id++) {
    now[static_cast<size_t>(id)] =
        is_monotonic(id) ? Reading{86'400, 999'999'999} : Reading{1'790'000'000, 123};
  }
  now[CLOCK_REALTIME_ALARM] = {};
  now[CLOCK_BOOTTIME_ALARM] = {};
  now[10] = {};
  return now;
}

HostReadings later(nanoseconds by) {
  HostReadings now = host();
  for (Reading& reading : now) {
    if (reading != Reading{}) reading = plus(reading, by);
  }
  return now;
}

nanoseconds shift(const ClockMaps& maps, size_t clock, const HostReadings& now) {
  return shift_at(maps, static_cast<int>(clock), now[clock]);
}

ClockMaps shifted(ClockSet clocks, nanoseconds offset,
                  std::optional<nanoseconds> lease = std::nullopt) {
  return plan_shift({clocks, offset}, identity_maps(), host(), lease).value().maps;
}

TEST(MapPlan, IdentityShowsEveryClockAsItIs) {
  const ClockMaps maps = identity_maps();
  for (int id = -1; id <= TC_CLOCK_COUNT; id++) {
    EXPECT_EQ(apply(maps, id, {5, 7}), (Reading{5, 7})) << id;
  }
  for (const tc_clock_map& map : maps) EXPECT_EQ(map.until_sec, TC_NEVER);
}

TEST(MapPlan, AnOffsetShiftsTheClocksOfTheSetAndNoOther) {
  for (const nanoseconds offset : {nanoseconds(-1), nanoseconds(999'999'999),
                                   nanoseconds(hours(-1)), nanoseconds(hours(1)), nanoseconds(0)}) {
    const auto plan = plan_shift({ClockSet::wall(), offset}, identity_maps(), host(), std::nullopt);
    ASSERT_TRUE(plan) << plan.error().line();
    EXPECT_TRUE(plan->kept.empty());
    for (int id = 0; id < TC_CLOCK_COUNT; id++) {
      const auto i = static_cast<size_t>(id);
      const Reading real = host()[i];
      EXPECT_EQ(apply(plan->maps, id, real), is_monotonic(id) ? real : plus(real, offset)) << id;
      EXPECT_TRUE(plan->maps[i].fake_nsec >= 0 && plan->maps[i].fake_nsec < TC_NSEC_PER_SEC);
    }
  }
}

TEST(MapPlan, AMonotonicClockIsNotShiftedBack) {
  const auto plan =
      plan_shift({ClockSet::wall() | kMonotonic, hours(-1)}, identity_maps(), host(), std::nullopt);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind(), Exit::kUsage);
  EXPECT_EQ(plan.error().line(),
            "monotonic by -1h: it must never step back; leave monotonic out of "
            "--clocks, use an offset forwards, or --allow-monotonic-step");
}

TEST(MapPlan, NoClockButTheWallClocksIsShiftedBack) {
  for (int id = 0; id < TC_CLOCK_COUNT; id++) {
    const ClockSet one(1U << id);
    EXPECT_EQ(plan_shift({one, nanoseconds(-1)}, identity_maps(), host(), std::nullopt).has_value(),
              ClockSet::wall().has(id))
        << id;
  }
}

TEST(MapPlan, AMonotonicClockIsNotSetToLessThanItIsAhead) {
  const ClockMaps ahead = shifted(kMonotonic, hours(2));
  const auto less = plan_shift({kMonotonic, hours(2) - nanoseconds(1)}, ahead, host(), {});
  ASSERT_FALSE(less);
  EXPECT_EQ(less.error().kind(), Exit::kUsage);
  EXPECT_THAT(less.error().line(), HasSubstr("+2h ahead"));
  EXPECT_THAT(less.error().remedy(), HasSubstr("+2h or more"));
  EXPECT_TRUE(plan_shift({kMonotonic, hours(2)}, ahead, host(), {}));
  const auto more = plan_shift({kMonotonic, hours(3)}, ahead, host(), {});
  ASSERT_TRUE(more);
  EXPECT_EQ(shift(more->maps, kMono, host()), hours(3));
  EXPECT_TRUE(more->kept.empty());
}

TEST(MapPlan, AMonotonicClockOutOfTheSetKeepsWhatItIsAhead) {
  const ClockMaps both = shifted(ClockSet::wall() | kMonotonic, hours(2));
  const auto plan = plan_shift({ClockSet(1U << CLOCK_TAI), hours(-1)}, both, host(), {});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->kept, kMonotonic);
  EXPECT_EQ(shift(plan->maps, kMono, host()), hours(2));
  EXPECT_EQ(shift(plan->maps, kReal, host()), hours(0));
  EXPECT_EQ(shift(plan->maps, CLOCK_TAI, host()), hours(-1));
}

TEST(MapPlan, AWallClockDoesNotReadBefore1970) {
  const seconds epoch(-1'790'000'000);
  EXPECT_TRUE(
      plan_shift({ClockSet::wall(), epoch - nanoseconds(123)}, identity_maps(), host(), {}));
  const auto plan =
      plan_shift({ClockSet::wall(), epoch - nanoseconds(124)}, identity_maps(), host(), {});
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().kind(), Exit::kUsage);
  EXPECT_THAT(plan.error().message(), HasSubstr("realtime"));
  EXPECT_THAT(plan.error().message(), HasSubstr("1970"));
  EXPECT_THAT(plan.error().remedy(), HasSubstr("-497222h13m20.000000123s or more"));
}

TEST(MapPlan, ALeaseReturnsWallClocksAndLeavesMonotonicClocksAhead) {
  const ClockMaps maps = shifted(ClockSet::wall() | kMonotonic, hours(1), seconds(30));
  const HostReadings before = later(seconds(30) - nanoseconds(1));
  const HostReadings at_end = later(seconds(30));
  EXPECT_EQ(shift(maps, kReal, before), hours(1));
  EXPECT_EQ(shift(maps, kReal, at_end), hours(0));
  EXPECT_EQ(shift(maps, kReal, later(hours(900'000))), hours(0));
  EXPECT_EQ(shift(maps, kMono, before), hours(1));
  EXPECT_EQ(shift(maps, kMono, later(hours(900'000))), hours(1));
  EXPECT_EQ(maps[kMono].until_sec, TC_NEVER);
}

TEST(MapPlan, ALeaseIsPositive) {
  for (const nanoseconds lease : {nanoseconds(0), nanoseconds(-1)}) {
    const auto plan = plan_shift({}, identity_maps(), host(), lease);
    ASSERT_FALSE(plan);
    EXPECT_EQ(plan.error().kind(), Exit::kUsage);
  }
  EXPECT_TRUE(plan_shift({}, identity_maps(), host(), nanoseconds(1)));
}

TEST(MapPlan, ARenewedLeaseMovesTheEndAndNothingElse) {
  const ClockMaps maps = shifted(ClockSet::wall() | kMonotonic, hours(1), seconds(30));
  const ClockMaps renewed = with_lease(maps, later(seconds(20)), seconds(30));
  EXPECT_EQ(shift(renewed, kReal, later(seconds(50) - nanoseconds(1))), hours(1));
  EXPECT_EQ(shift(renewed, kReal, later(seconds(50))), hours(0));
  EXPECT_EQ(shift(renewed, kMono, later(hours(50))), hours(1));
  const ClockMaps forever = with_lease(maps, later(seconds(20)), std::nullopt);
  EXPECT_EQ(shift(forever, kReal, later(hours(50))), hours(1));
  const ClockMaps again = with_lease(maps, later(seconds(40)), seconds(30));
  EXPECT_EQ(shift(again, kReal, later(seconds(69))), hours(1));
}

TEST(MapPlan, RecoverReturnsWallClocksAndKeepsMonotonicClocksAhead) {
  const ClockMaps maps = shifted(ClockSet::wall() | kMonotonic, hours(1), seconds(30));
  const MapPlan plan = plan_recover(maps, later(seconds(5)));
  EXPECT_EQ(plan.kept, kMonotonic);
  EXPECT_EQ(shift(plan.maps, kReal, later(seconds(5))), hours(0));
  EXPECT_EQ(shift(plan.maps, kMono, later(hours(5))), hours(1));
  EXPECT_TRUE(plan_recover(shifted(ClockSet::wall(), hours(-1)), host()).kept.empty());
  // Once more changes nothing.
  EXPECT_EQ(plan_recover(plan.maps, later(hours(1))).kept, kMonotonic);
}

TEST(MapPlan, AZeroedPageRecoversToIdentity) {
  const MapPlan plan = plan_recover(ClockMaps{}, host());
  EXPECT_TRUE(plan.kept.empty());
  for (size_t i = 0; i < plan.maps.size(); i++) EXPECT_EQ(shift(plan.maps, i, host()).count(), 0);
}

TEST(MapPlan, AFastMonotonicClockIsKeptWhereItGot) {
  ClockMaps maps = identity_maps();
  maps[kMono] = make_rate_map(host()[kMono], host()[kMono], 3);
  const HostReadings now = later(seconds(10));
  const MapPlan plan = plan_recover(maps, now);
  EXPECT_EQ(plan.kept, kMonotonic);
  EXPECT_EQ(shift(plan.maps, kMono, now), seconds(20));
  // However late that is put into force, up to kLead: until then it goes on as it did.
  EXPECT_EQ(shift(plan.maps, kMono, later(seconds(10) + kLead)), seconds(20) + 2 * kLead);
  EXPECT_EQ(shift(plan.maps, kMono, later(hours(1))), seconds(20) + 2 * kLead);
  EXPECT_EQ(plan.maps.flip_before, plus(now[kMono], kLead));
  // A lease's end does not step either.
  const ClockMaps leased = with_lease(maps, now, seconds(10));
  EXPECT_EQ(shift(leased, kMono, later(seconds(20) - nanoseconds(1))),
            seconds(40) - nanoseconds(2));
  EXPECT_EQ(shift(leased, kMono, later(seconds(20))), seconds(40));
  EXPECT_EQ(shift(leased, kMono, later(seconds(30))), seconds(40));
  const ClockMaps renewed_late = with_lease(leased, later(seconds(30)), seconds(10));
  EXPECT_EQ(shift(renewed_late, kMono, later(seconds(30))), seconds(40));
  EXPECT_EQ(shift(renewed_late, kMono, later(seconds(35))), seconds(40));
}

TEST(MapPlan, ASlowMonotonicClockReturnsForwards) {
  ClockMaps maps = identity_maps();
  maps[kMono] = make_rate_map(host()[kMono], host()[kMono], 0.5);
  const HostReadings now = later(seconds(10));
  EXPECT_EQ(shift(maps, kMono, now), seconds(-5));
  EXPECT_TRUE(plan_recover(maps, now).kept.empty());
  EXPECT_EQ(shift(plan_recover(maps, now).maps, kMono, now), seconds(0));
  EXPECT_EQ(shift(with_lease(maps, now, seconds(10)), kMono, later(seconds(20))), seconds(0));
}

// Any sequence of requests, renewals and recoveries, at any pace: one reader, one clock.
TEST(MapPlan, AMonotonicClockNeverStepsBack) {
  std::mt19937_64 random(11);
  for (int run = 0; run < 500; run++) {
    ClockMaps maps = identity_maps();
    Reading last{};
    nanoseconds at{0};
    for (int step = 0; step < 40; step++) {
      const auto check = [&](const char* what) {
        const Reading seen = apply(maps, CLOCK_MONOTONIC, later(at)[kMono]);
        ASSERT_GE(seen, last) << what << " in run " << run << " step " << step;
        last = seen;
      };
      at += nanoseconds(random() % 20'000'000'000);
      check("time passing");
      const auto lease = random() % 2 == 0
                             ? std::optional<nanoseconds>(nanoseconds(1 + random() % 9'000'000'000))
                             : std::nullopt;
      const nanoseconds offset(static_cast<int64_t>(random() % 40'000'000'000) - 10'000'000'000);
      switch (random() % 5) {
        case 0:
          maps = with_lease(maps, later(at), lease);
          break;
        case 1:
          if (random() % 4 == 0) maps = plan_recover(maps, later(at)).maps;
          break;
        case 2: {
          const Reading real = later(at)[kMono];
          maps[kMono] = make_rate_map(real, apply(maps, CLOCK_MONOTONIC, real),
                                      static_cast<double>(random() % 300) / 100);
          break;
        }
        default: {
          const ClockSet set(static_cast<uint32_t>(random()));
          const auto plan = plan_shift({set, offset}, maps, later(at), lease);
          if (plan) maps = plan->maps;
        }
      }
      check("a change");
    }
  }
}

TEST(HostClocks, AreReadAtAboutOneInstant) {
  const HostReadings now = read_host_clocks();
  timespec realtime{};
  timespec monotonic{};
  ASSERT_EQ(clock_gettime(CLOCK_REALTIME, &realtime), 0);
  ASSERT_EQ(clock_gettime(CLOCK_MONOTONIC, &monotonic), 0);
  const nanoseconds mono_age = minus({monotonic.tv_sec, monotonic.tv_nsec}, now[kMono]);
  EXPECT_GE(mono_age.count(), 0);
  EXPECT_LT(mono_age, seconds(60));
  const nanoseconds real_age = minus({realtime.tv_sec, realtime.tv_nsec}, now[kReal]);
  EXPECT_LT(real_age, seconds(60));
  EXPECT_GT(real_age, seconds(-60));
  EXPECT_EQ(now[10], Reading{});
  EXPECT_GT(now[CLOCK_PROCESS_CPUTIME_ID], Reading{});
}

}  // namespace
}  // namespace time_chaos::clock
