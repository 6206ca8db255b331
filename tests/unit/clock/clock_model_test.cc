// Everything that can be asked of a clock, from the request to what is shown (DESIGN §6).
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

#include <random>

#include "agent/clock/course.h"
#include "agent/clock/map_plan.h"
#include "agent/clock/rate.h"
#include "agent/clock/schedule_file.h"

namespace time_chaos::clock {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

__extension__ using Wide = __int128;

constexpr ClockSet kMonotonic(1U << CLOCK_MONOTONIC);
constexpr ClockSet kFamily((1U << 1) | (1U << 4) | (1U << 6) | (1U << 7) | (1U << 9));

// As in map_plan_test.cc, but coarse clocks lag.
HostReadings host(nanoseconds after = nanoseconds(0)) {
  HostReadings now{};
  for (int id = 0; id < TC_CLOCK_COUNT; id++) {
    Reading reading = is_monotonic(id) ? Reading{86'400, 999'999'999} : Reading{1'790'000'000, 123};
    if (id == CLOCK_TAI) reading.sec += 37;
    if (id == CLOCK_BOOTTIME || id == CLOCK_BOOTTIME_ALARM) reading.sec += 1000;
    reading = plus(reading, after);
    if (id == CLOCK_REALTIME_COARSE || id == CLOCK_MONOTONIC_COARSE) {
      const int64_t tick = 4'000'000;
      reading.nsec -= reading.nsec % tick;
    }
    now[static_cast<size_t>(id)] = reading;
  }
  now[10] = {};
  return now;
}

Reading shown(const ClockMaps& maps, int clock, nanoseconds after = nanoseconds(0)) {
  return apply(maps, clock, host(after)[static_cast<size_t>(clock)]);
}

MapPlan planned(const ClockSpec& spec, const ClockMaps& current = identity_maps(),
                nanoseconds after = nanoseconds(0)) {
  const auto plan = plan_shift(spec, current, host(after), std::nullopt);
  EXPECT_TRUE(plan) << plan.error().line();
  return plan.value_or(MapPlan{});
}

std::string refusal(const ClockSpec& spec, const ClockMaps& current = identity_maps()) {
  const auto plan = plan_shift(spec, current, host(), std::nullopt);
  if (plan) return "not refused";
  EXPECT_EQ(plan.error().kind(), Exit::kUsage);
  EXPECT_NE(plan.error().remedy(), "");
  return plan.error().line();
}

TEST(At, PutsAllWallClocksToTheDate) {
  ClockSpec spec;
  spec.date = Reading{1'893'456'000, 0};
  const ClockMaps maps = planned(spec).maps;
  EXPECT_EQ(shown(maps, CLOCK_REALTIME), (Reading{1'893'456'000, 0}));
  EXPECT_EQ(shown(maps, CLOCK_TAI), (Reading{1'893'456'037, 0}));
  EXPECT_LE(shown(maps, CLOCK_REALTIME_COARSE), (Reading{1'893'456'000, 0}));
  EXPECT_EQ(shown(maps, CLOCK_REALTIME, hours(1)), (Reading{1'893'459'600, 0}));
  EXPECT_EQ(maps[0].kind, static_cast<uint32_t>(TC_MAP_OFFSET));  // the fast way
  spec.clocks = kMonotonic;
  EXPECT_THAT(refusal(spec), HasSubstr("monotonic tells no date"));
}

// All targets of an experiment are planned one after the other, and show one time.
TEST(At, CountsFromTheStartOfTheExperiment) {
  ClockSpec spec;
  spec.date = Reading{1'893'456'000, 0};
  spec.start = host();
  for (const int64_t rate : {TC_RATE_ONE, int64_t{0}, 3 * TC_RATE_ONE}) {
    spec.rate = rate;
    const ClockMaps first = planned(spec).maps;
    const ClockMaps second = planned(spec, identity_maps(), seconds(2)).maps;
    EXPECT_EQ(shown(first, 0, seconds(5)), shown(second, 0, seconds(5)));
  }
}

TEST(Freeze, StandsStillAtTheDate) {
  ClockSpec spec;
  spec.date = Reading{1'893'456'000, 7};
  spec.rate = 0;
  const ClockMaps maps = planned(spec).maps;
  for (const int clock : {CLOCK_REALTIME, CLOCK_REALTIME_COARSE}) {
    for (const nanoseconds after : {nanoseconds(0), nanoseconds(1), nanoseconds(hours(900))}) {
      EXPECT_EQ(shown(maps, clock, after), *spec.date) << clock;
    }
  }
}

TEST(Rate, RunsFromWhatIsShown) {
  ClockSpec spec;
  spec.rate = 2 * TC_RATE_ONE;
  ClockMaps maps = planned(spec).maps;
  EXPECT_EQ(shown(maps, 0), host()[0]);
  EXPECT_EQ(shown(maps, 0, seconds(10)), host(seconds(20))[0]);
  // A change of the rate alone does not step.
  spec.rate = TC_RATE_ONE / 2;
  maps = planned(spec, maps, seconds(10)).maps;
  EXPECT_EQ(shown(maps, 0, seconds(10)), host(seconds(20))[0]);
  EXPECT_EQ(shown(maps, 0, seconds(20)), host(seconds(25))[0]);
  // Nor does a rate on top of an offset.
  ClockSpec hour;
  hour.offset = hours(1);
  maps = planned(spec, planned(hour).maps).maps;
  EXPECT_EQ(shown(maps, 0, seconds(2)), host(hours(1) + seconds(1))[0]);
}

TEST(Bump, StepsWithinItsBoundsFromItsSeed) {
  ClockSpec spec;
  spec.bump = Bump{-seconds(3), seconds(5)};
  nanoseconds least = seconds(9);
  nanoseconds most = -seconds(9);
  for (spec.seed = 0; spec.seed < 2000; spec.seed++) {
    const nanoseconds step = shift_at(planned(spec).maps, 0, host()[0]);
    EXPECT_TRUE(step >= spec.bump->low && step <= spec.bump->high);
    EXPECT_EQ(step, shift_at(planned(spec).maps, 0, host()[0]));
    least = std::min(least, step);
    most = std::max(most, step);
  }
  EXPECT_LT(least, -milliseconds(2900));
  EXPECT_GT(most, milliseconds(4900));
  // From what it shows.
  ClockSpec hour;
  hour.offset = hours(1);
  const nanoseconds step = shift_at(planned(spec, planned(hour).maps).maps, 0, host()[0]);
  EXPECT_TRUE(step >= hours(1) - seconds(3) && step <= hours(1) + seconds(5));
  spec.clocks = kMonotonic;
  EXPECT_THAT(refusal(spec), HasSubstr("never step back"));
  spec.bump = Bump{seconds(1), seconds(1)};
  EXPECT_EQ(shift_at(planned(spec).maps, 1, host()[1]), seconds(1));
}

TEST(Jitter, StaysInItsBoundsAndNeverRunsBack) {
  for (const nanoseconds amplitude :
       {nanoseconds(10), nanoseconds(microseconds(50)), nanoseconds(milliseconds(5)),
        nanoseconds(seconds(3)), nanoseconds(hours(24))}) {
    for (const int64_t rate : {TC_RATE_ONE, TC_RATE_ONE / 3, 5 * TC_RATE_ONE}) {
      ClockSpec spec;
      spec.clocks = ClockSet::wall() | kFamily;
      spec.rate = rate;
      spec.jitter = Jitter{amplitude, {}};
      spec.seed = 7;
      const ClockMaps maps = planned(spec).maps;
      const int64_t length = int64_t{1} << maps.table.jitter_shift;
      Reading last{};
      nanoseconds most{0};
      std::mt19937_64 random(5);
      nanoseconds after{0};
      for (int i = 0; i < 20'000; i++) {
        // Nanosecond by nanosecond around the knots; in between, wherever.
        after += nanoseconds(i % 50 < 25 ? 1 : static_cast<int64_t>(random() % 97) * length / 977);
        const Reading seen = shown(maps, CLOCK_REALTIME, after);
        ASSERT_GE(seen, last) << i;
        last = seen;
        const nanoseconds straight(
            static_cast<int64_t>((static_cast<Wide>(after.count()) * rate) >> 32));
        const nanoseconds off = minus(seen, plus(host()[0], straight));
        most = std::max(most, std::max(off, -off));
      }
      EXPECT_LE(most, amplitude + nanoseconds(rate / TC_RATE_ONE + 2));
      if (amplitude > nanoseconds(10)) {
        EXPECT_GT(most, amplitude / 2);
      }
      EXPECT_EQ(shown(maps, CLOCK_REALTIME), host()[0]);  // no step at the start
    }
  }
}

TEST(Jitter, RunsBackOnlyWhenAskedTo) {
  ClockSpec spec;
  spec.jitter = Jitter{milliseconds(5), milliseconds(1)};
  const ClockMaps maps = planned(spec).maps;
  bool back = false;
  Reading last{};
  for (int i = 0; i < 2000; i++) {
    const Reading seen = shown(maps, 0, microseconds(i * 50));
    back = back || seen < last;
    last = seen;
  }
  EXPECT_TRUE(back);
  spec.clocks = kMonotonic;
  EXPECT_THAT(refusal(spec), HasSubstr("so fast a jitter"));
  spec.jitter->interval = seconds(1);
  (void)planned(spec);
  spec.rate = 0;
  EXPECT_THAT(refusal(spec), HasSubstr("cannot be seen"));
}

TEST(Strobe, GoesBackAndForthOnWallClocksOnly) {
  ClockSpec spec;
  spec.offset = hours(1);
  spec.strobe = Strobe{milliseconds(200), seconds(1)};
  const ClockMaps maps = planned(spec).maps;
  EXPECT_EQ(shown(maps, 0), host(hours(1))[0]);
  EXPECT_EQ(shown(maps, 0, milliseconds(1500)), host(hours(1) + milliseconds(1700))[0]);
  EXPECT_EQ(shown(maps, 0, milliseconds(2500)), host(hours(1) + milliseconds(2500))[0]);
  spec.clocks = kMonotonic;
  EXPECT_EQ(refusal(spec),
            "monotonic would step back by 200ms at 2s after the start, and must never; leave "
            "monotonic out of --clocks, or use --allow-monotonic-step");
  spec.allow_monotonic_step = true;
  const ClockMaps stepping = planned(spec).maps;
  EXPECT_EQ(shift_at(stepping, 1, host(milliseconds(1500))[1]), hours(1) + milliseconds(200));
}

TEST(LeapSecond, DoesNotHappenToTai) {
  ClockSpec spec;
  spec.date = Reading{1'483'228'740, 0};  // 2016-12-31T23:59:00Z
  spec.leap = Leap::kInsert;
  const ClockMaps maps = planned(spec).maps;
  EXPECT_EQ(shown(maps, 0, seconds(60)), (Reading{1'483'228'799, 0}));
  EXPECT_EQ(shown(maps, CLOCK_TAI, seconds(60)), (Reading{1'483'228'837, 0}));
  EXPECT_EQ(shown(maps, CLOCK_TAI, seconds(59)), (Reading{1'483'228'836, 0}));
  spec.date.reset();
  spec.clocks = kMonotonic;
  EXPECT_THAT(refusal(spec), HasSubstr("would step back by 1s"));
  spec.leap = Leap::kSmear;  // which adjtimex(2) would do to CLOCK_MONOTONIC as well
  (void)planned(spec);
  spec.clocks = ClockSet::wall();
  spec.rate = 0;
  EXPECT_THAT(refusal(spec), HasSubstr("never comes to its leap second"));
}

TEST(Range, NoClockLeavesItsTime) {
  ClockSpec spec;
  spec.offset = hours(24 * 365 * 250);
  EXPECT_THAT(refusal(spec), HasSubstr("after 2262"));
  spec.offset = -hours(24 * 365 * 57);
  EXPECT_THAT(refusal(spec), HasSubstr("before 1970"));
  spec.offset = -hours(30);
  spec.clocks = kMonotonic;
  spec.allow_monotonic_step = true;
  EXPECT_THAT(refusal(spec), HasSubstr("before the boot"));
  spec = {};
  spec.date = Reading{5, 0};
  spec.strobe = Strobe{-seconds(10), seconds(1)};
  EXPECT_THAT(refusal(spec), HasSubstr("before 1970 on the way"));
  // What cannot be foreseen stands still.
  spec = {};
  spec.date = Reading{5, 0};
  spec.rate = -TC_RATE_ONE;
  EXPECT_EQ(shown(planned(spec).maps, 0, seconds(10)), (Reading{0, 0}));
  spec.date = Reading{TC_LAST_SEC, 0};
  spec.clocks = ClockSet(1);
  spec.rate = 2 * TC_RATE_ONE;
  EXPECT_EQ(shown(planned(spec).maps, 0, hours(1)), (Reading{TC_LAST_SEC, 999'999'999}));
}

TEST(CpuTime, HasNoStartInCommon) {
  ClockSpec spec;
  spec.clocks = ClockSet(1U << CLOCK_PROCESS_CPUTIME_ID);
  spec.offset = hours(1);
  (void)planned(spec);
  spec.rate = 2 * TC_RATE_ONE;
  EXPECT_THAT(refusal(spec), HasSubstr("can only have an offset"));
}

// As on machines without a real-time clock device.
TEST(MissingClock, HurriesNobody) {
  HostReadings now = host();
  now[CLOCK_BOOTTIME_ALARM] = {};
  ClockSpec spec;
  spec.clocks = kFamily;
  spec.rate = 2 * TC_RATE_ONE;
  const auto plan = plan_shift(spec, identity_maps(), now, seconds(30));
  ASSERT_TRUE(plan);
  const Reading lead = plus(now[CLOCK_MONOTONIC], kLead - milliseconds(4));
  EXPECT_GE(plan->maps.flip_before, lead);
  const MapPlan ended = plan_recover(plan->maps, now);
  EXPECT_GE(ended.maps.flip_before, lead);
  EXPECT_FALSE(ended.kept.has(CLOCK_BOOTTIME_ALARM));
  EXPECT_GE(with_lease(plan->maps, now, seconds(30)).flip_before,
            plus(now[CLOCK_MONOTONIC], seconds(29)));
}

TEST(LongSchedule, IsFedByAnAgent) {
  std::string text = "[{\"at\": \"0s\"}";
  for (int i = 1; i < 60; i++) text += fmt::format(R"(,{{"at": "{}s", "step": "1s"}})", i);
  ClockSpec spec;
  spec.schedule = std::make_shared<const Schedule>(parse_schedule(text + "]", "f").value());
  MapPlan plan = planned(spec);
  ASSERT_TRUE(plan.program);
  int refills = 0;
  std::optional<int64_t> due = plan.program->refill_after(0);
  for (int i = 0; i < 70; i++) {
    const HostReadings now = host(seconds(i));
    if (due && nanoseconds(*due) <= seconds(i)) {
      const auto place = place_in_schedule(plan.maps, now);
      ASSERT_EQ(place, nanoseconds(seconds(i)).count());
      plan.maps.table = refilled(*plan.program, *place, plan.maps.table);
      due = plan.program->refill_after(*place);
      refills++;
    }
    EXPECT_EQ(shift_at(plan.maps, 0, now[0]), seconds(std::min(i, 59))) << i;
  }
  EXPECT_GE(refills, 6);
  EXPECT_FALSE(place_in_schedule(identity_maps(), host()));
}

// A request of any kind; most of them are refused for a monotonic clock, and those that are not
// must hold.
class RandomSpecs {
 public:
  ClockSpec spec() {
    ClockSpec spec;
    spec.clocks = ClockSet(static_cast<uint32_t>(random_()) | (below(3) != 0 ? 2U : 0U)) &
                  (ClockSet::wall() | kFamily);
    spec.seed = random_();
    switch (below(4)) {
      case 0:
        spec.offset = duration();
        break;
      case 1:
        spec.bump = Bump{seconds(0), seconds(below(20))};
        break;
      default:
        break;
    }
    spec.rate = below(3) == 0 ? TC_RATE_ONE : static_cast<int64_t>(below(uint64_t{3} << 32));
    switch (below(6)) {
      case 0:
        spec.leap = below(2) == 0 ? Leap::kSmear : Leap::kDelete;
        break;
      case 1: {
        Schedule schedule;
        for (uint64_t i = 0; i < 1 + below(10); i++) {
          Step step;
          step.at = seconds(i * 3 + below(2));
          if (below(2) == 0) step.by = milliseconds(below(900));
          step.rate = static_cast<int64_t>(below(uint64_t{3} << 32));
          schedule.steps.push_back(step);
        }
        if (below(2) == 0) {
          schedule.loop = Schedule::Loop{seconds(below(3)), schedule.steps.back().at + seconds(3)};
        }
        spec.schedule = std::make_shared<const Schedule>(schedule);
        break;
      }
      default:
        break;
    }
    if (below(3) == 0) spec.jitter = Jitter{microseconds(1 + below(100'000)), {}};
    return spec;
  }
  nanoseconds duration() {
    return nanoseconds(static_cast<int64_t>(below(60'000'000'000)) - 10'000'000'000);
  }
  uint64_t below(uint64_t bound) { return random_() % bound; }

 private:
  std::mt19937_64 random_{17};
};

// Whatever is asked for, renewed and recovered, at any pace, and put into force with any delay up
// to what the maps say: no clock of the monotonic family steps back, nor runs ahead of its finer
// kin.
TEST(ClockModel, MonotonicClocksNeverStepBack) {
  RandomSpecs random;
  int kept = 0;
  int changed = 0;
  for (int run = 0; run < 400; run++) {
    ClockMaps maps = identity_maps();
    ClockSet clocks;
    std::array<Reading, TC_CLOCK_COUNT> last{};
    nanoseconds at{0};
    const auto look = [&](const char* what) {
      for (const int clock : {1, 4, 6, 7, 9}) {
        const auto i = static_cast<size_t>(clock);
        const Reading seen = shown(maps, clock, at);
        ASSERT_GE(seen, last[i]) << what << ", clock " << clock << " in run " << run << " after "
                                 << at.count();
        last[i] = seen;
      }
    };
    for (int step = 0; step < 40; step++) {
      for (int i = 0; i < 5; i++) {
        at += nanoseconds(static_cast<int64_t>(random.below(3) == 0 ? random.below(7'000'000'000)
                                                                    : random.below(30'000'000)));
        look("time passing");
        if (HasFatalFailure()) return;
      }
      std::optional<nanoseconds> lease;
      if (random.below(2) == 0)
        lease = nanoseconds(1 + static_cast<int64_t>(random.below(9'000'000'000)));
      std::optional<ClockMaps> next;
      switch (random.below(8)) {
        case 0:
        case 1:
          next = with_lease(maps, host(at), lease, clocks);
          break;
        case 2: {
          const MapPlan plan = plan_recover(maps, host(at));
          next = plan.maps;
          clocks = plan.kept;
          kept += plan.kept.empty() ? 0 : 1;
          break;
        }
        default: {
          const ClockSpec spec = random.spec();
          const auto plan = plan_shift(spec, maps, host(at), lease);
          if (!plan) break;
          next = plan->maps;
          clocks = spec.clocks;
          changed++;
        }
      }
      if (!next) continue;
      // Until the write the old maps are in force; it is not done later than it may be.
      nanoseconds delay(static_cast<int64_t>(random.below(60'000'000)));
      if (next->flip_before) {
        const nanoseconds most = minus(*next->flip_before, host(at)[CLOCK_MONOTONIC]);
        if (most <= nanoseconds(0)) continue;
        delay = std::min(delay, most - nanoseconds(1));
      }
      at += delay / 2;
      look("just before a change");
      at += delay - delay / 2;
      look("at a change");
      maps = *next;
      look("after a change");
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(kept, 100);
  EXPECT_GT(changed, 1000);
}

}  // namespace
}  // namespace time_chaos::clock
