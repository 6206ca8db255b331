// Schedules worked out: what a clock shows by them, also when its page holds only a part at a time.
#include "agent/clock/program.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "agent/clock/clock_maps.h"
#include "agent/clock/rate_map.h"
#include "agent/clock/schedule_file.h"

namespace time_chaos::clock {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr Reading kReal{1'790'000'000, 5};
constexpr Reading kShown{1'483'228'740, 0};  // 2016-12-31T23:59:00Z

Program compiled(const Schedule& schedule, int64_t rate = TC_RATE_ONE) {
  auto program = Program::compile(schedule, rate, kShown);
  EXPECT_TRUE(program) << program.error().line();
  return std::move(*program);
}

Schedule parsed(const std::string& text) {
  auto schedule = parse_schedule(text, "f");
  EXPECT_TRUE(schedule) << schedule.error().line();
  return std::move(*schedule);
}

ClockMaps maps_for(const tc_clock_table& table, int64_t rate = TC_RATE_ONE) {
  ClockMaps maps = identity_maps();
  maps[0] = make_rate_map_fixed(kReal, kShown, rate);
  maps[0].kind = TC_MAP_SCHEDULE;
  maps.table = table;
  return maps;
}

// How far the clock is from where it started, so long after.
nanoseconds progress(const ClockMaps& maps, nanoseconds after) {
  return minus(apply(maps, 0, plus(kReal, after)), kShown);
}
nanoseconds progress(const Program& program, nanoseconds after, int64_t rate = TC_RATE_ONE) {
  return progress(maps_for(program.table(0), rate), after);
}
// The same beside real time.
nanoseconds beside(const Program& program, nanoseconds after) {
  return progress(program, after) - after;
}

TEST(Program, StepsStandWhereTheyAreSaidTo) {
  const Program program = compiled(parsed(R"([
    {"at": "1s", "offset": "1h"}, {"at": "2s", "step": "-1m"}, {"at": "3s", "rate": 2},
    {"at": "4s", "date": "2017-01-01T00:00:00Z", "freeze": true}, {"at": "6s"}])"));
  EXPECT_EQ(beside(program, nanoseconds(0)), seconds(0));
  EXPECT_EQ(beside(program, seconds(1) - nanoseconds(1)), seconds(0));
  EXPECT_EQ(beside(program, seconds(1)), hours(1));
  EXPECT_EQ(beside(program, seconds(2)), hours(1) - seconds(60));
  EXPECT_EQ(beside(program, milliseconds(3500)), hours(1) - seconds(60) + milliseconds(500));
  EXPECT_EQ(progress(program, seconds(4)), seconds(60));
  EXPECT_EQ(progress(program, seconds(5)), seconds(60));
  EXPECT_EQ(progress(program, seconds(7)), seconds(61));
  ASSERT_TRUE(program.backward());
  EXPECT_EQ(program.backward()->at, seconds(2));
  EXPECT_EQ(program.backward()->by, seconds(60));
  // In front of the anchor, too, it has the clock's own rate.
  EXPECT_EQ(progress(program, -seconds(3)), -seconds(3));
}

TEST(Program, AStrobeAlternates) {
  const Program program = compiled(schedule_of(Strobe{milliseconds(200), seconds(1)}));
  for (int second = 0; second < 100'000; second += 997) {
    const nanoseconds wanted = milliseconds(second % 2 == 0 ? 0 : 200);
    EXPECT_EQ(beside(program, seconds(second)), wanted) << second;
    EXPECT_EQ(beside(program, seconds(second + 1) - nanoseconds(1)), wanted) << second;
  }
  ASSERT_TRUE(program.backward());
  EXPECT_EQ(program.backward()->at, seconds(2));
  EXPECT_EQ(program.backward()->by, milliseconds(200));
  // Beside a rate it does not move the clock in the long run.
  const int64_t rate = TC_RATE_ONE / 3;
  const Program slow = compiled(schedule_of(Strobe{milliseconds(200), milliseconds(1)}), rate);
  const nanoseconds year = hours(24 * 365);
  EXPECT_LE((progress(slow, year, rate) - nanoseconds((year.count() >> 32) * rate)).count(),
            2 * rate);
}

TEST(Program, ALeapSecondIsInsertedAndDeleted) {
  const Program insert = compiled(schedule_of(Leap::kInsert, kShown, TC_RATE_ONE));
  EXPECT_EQ(progress(insert, seconds(60) - nanoseconds(1)), seconds(60) - nanoseconds(1));
  EXPECT_EQ(progress(insert, seconds(60)), seconds(59));  // 23:59:59 once more
  EXPECT_EQ(progress(insert, seconds(61)), seconds(60));
  EXPECT_EQ(progress(insert, hours(50)), hours(50) - seconds(1));
  const Program drop = compiled(schedule_of(Leap::kDelete, kShown, TC_RATE_ONE));
  EXPECT_EQ(progress(drop, seconds(59) - nanoseconds(1)), seconds(59) - nanoseconds(1));
  EXPECT_EQ(progress(drop, seconds(59)), seconds(60));  // 23:59:58, 00:00:00
  EXPECT_FALSE(drop.backward());
  // It comes sooner for a clock that runs faster.
  const Program fast =
      compiled(schedule_of(Leap::kInsert, kShown, 2 * TC_RATE_ONE), 2 * TC_RATE_ONE);
  EXPECT_EQ(progress(fast, seconds(30), 2 * TC_RATE_ONE), seconds(59));
  // Within the last second of a day, the next day's.
  const Reading late{kShown.sec + 59, 500'000'000};
  EXPECT_EQ(schedule_of(Leap::kDelete, late, TC_RATE_ONE).steps[1].at,
            hours(24) - milliseconds(500));
}

TEST(Program, ALeapSecondIsSmearedFromNoonToNoon) {
  const Reading morning{kShown.sec - 23 * 3600 - 59 * 60 + 3600, 0};  // 01:00
  const auto program =
      Program::compile(schedule_of(Leap::kSmear, morning, TC_RATE_ONE), TC_RATE_ONE, morning);
  ASSERT_TRUE(program);
  const auto behind = [&](nanoseconds after) { return -beside(*program, after); };
  EXPECT_EQ(behind(hours(11)), seconds(0));
  // Midnight of the clock is 24 h and half a second after that of the day before.
  EXPECT_NEAR(static_cast<double>(behind(hours(23)).count()), 5e8, 2e4);
  EXPECT_NEAR(static_cast<double>(behind(hours(35) + seconds(1)).count()), 1e9, 2e4);
  EXPECT_EQ(behind(hours(36)), behind(hours(900)));
  EXPECT_FALSE(program->backward());
  // In the afternoon it begins at once, and ends at the same noon.
  const Schedule evening = schedule_of(Leap::kSmear, kShown, TC_RATE_ONE);
  ASSERT_EQ(evening.steps.size(), 2U);
  EXPECT_EQ(evening.steps[0].at, seconds(0));
  EXPECT_NEAR(static_cast<double>(evening.steps[1].at.count()), (12 * 3600.0 + 60) * 1e9, 2e9);
}

TEST(Program, LoopsGoOnWhereTheyEnd) {
  // One second more a round, without an absolute place.
  const Program steps = compiled(parsed(
      R"([{"at": "5s", "step": "2s"}, {"at": "6s", "step": "-1s"}, {"at": "10s", "repeat": "4s"}])"));
  EXPECT_EQ(beside(steps, seconds(4)), seconds(0));
  EXPECT_EQ(beside(steps, seconds(5)), seconds(2));
  EXPECT_EQ(beside(steps, seconds(9)), seconds(1));
  EXPECT_EQ(beside(steps, seconds(10)), seconds(1));
  EXPECT_EQ(beside(steps, seconds(11)), seconds(3));
  EXPECT_EQ(beside(steps, seconds(12)), seconds(2));
  EXPECT_EQ(beside(steps, seconds(6 + 6'000'000)), seconds(1 + 1'000'000));
  // With an offset in it every round is the same but the beginning of the first.
  const Program offset = compiled(parsed(
      R"([{"at": "5s", "offset": "2s", "rate": 2}, {"at": "7s"}, {"at": "10s", "repeat": "4s"}])"));
  EXPECT_EQ(beside(offset, seconds(4)), seconds(0));
  EXPECT_EQ(beside(offset, seconds(6)), seconds(3));
  EXPECT_EQ(beside(offset, seconds(9)), seconds(4));
  for (const int round : {1, 2, 1'000'000}) {
    EXPECT_EQ(beside(offset, seconds(4 + 6 * round)), seconds(4)) << round;
    EXPECT_EQ(beside(offset, seconds(5 + 6 * round)), seconds(2)) << round;
    EXPECT_EQ(beside(offset, seconds(6 + 6 * round)), seconds(3)) << round;
    EXPECT_EQ(beside(offset, seconds(9 + 6 * round)), seconds(4)) << round;
  }
  // The same hour over and over.
  const Program date = compiled(
      parsed(R"([{"at": "0s", "date": "2017-01-01T00:00:00Z"}, {"at": "1h", "repeat": "0s"}])"));
  EXPECT_EQ(progress(date, seconds(7)), seconds(67));
  EXPECT_EQ(progress(date, hours(1)), seconds(60));
  EXPECT_EQ(progress(date, hours(999) + seconds(8)), seconds(68));
  // A frozen half of every round.
  const Program frozen = compiled(parsed(
      R"([{"at": "0s", "rate": 2}, {"at": "1s", "freeze": true}, {"at": "2s", "repeat": "0s"}])"));
  EXPECT_FALSE(frozen.backward());
  EXPECT_EQ(progress(frozen, milliseconds(1500)), seconds(2));
  EXPECT_EQ(progress(frozen, milliseconds(2500)), seconds(3));
  EXPECT_EQ(progress(frozen, seconds(1'000'000)), seconds(1'000'000));
}

TEST(Program, RefusesWhatCannotBeShown) {
  const auto both = Program::compile(
      parsed(R"([{"at": "0s", "date": "2017-01-01T00:00:00Z"}, {"at": "1s", "offset": "0s"},
                 {"at": "2s", "repeat": "0s"}])"),
      TC_RATE_ONE, kShown);
  ASSERT_FALSE(both);
  EXPECT_THAT(both.error().line(), HasSubstr("both an offset and a date"));
  const auto far = Program::compile(parsed(R"([{"at": "0s", "rate": 1000000}, {"at": "9000h"}])"),
                                    TC_RATE_ONE, kShown);
  ASSERT_FALSE(far);
  EXPECT_EQ(far.error().kind(), Exit::kUsage);
  EXPECT_THAT(far.error().line(), HasSubstr("at 9000h"));
}

// However it goes on, no sum leaves its 64 bits: time stands still instead.
TEST(Program, StandsStillInsteadOfWrapping) {
  for (const int64_t rate : {int64_t{1} << 59, -(int64_t{1} << 59), TC_RATE_ONE}) {
    Schedule schedule = schedule_of(Strobe{hours(24 * 365 * 50), seconds(1)});
    schedule.steps[1].rate = 4 * TC_RATE_ONE;
    const auto program = Program::compile(schedule, rate, kShown);
    if (!program) continue;
    Reading last = apply(maps_for(program->table(0), rate), 0, kReal);
    for (int64_t ns = 1; ns > 0 && ns < INT64_MAX / 3; ns *= 3) {
      const Reading shown =
          apply(maps_for(program->table(0), rate), 0, plus(kReal, nanoseconds(2 * ns)));
      ASSERT_TRUE(shown.sec >= 0 && shown.sec <= TC_LAST_SEC);
      if (rate > TC_RATE_ONE && ns > 10'000'000'000) {
        ASSERT_GE(shown, last) << ns;
      }
      last = shown;
    }
  }
}

Program long_one(bool loop) {
  std::string text = "[";
  std::mt19937_64 random(3);
  for (int i = 0; i < 200; i++) {
    text += fmt::format(R"({}{{"at": "{}s", "step": "{}ms", "rate": 1.{}}})", i > 0 ? "," : "",
                        i * 10, random() % 2000, random() % 10);
  }
  if (loop) text += R"(,{"at": "2000s", "repeat": "500s"})";
  return compiled(parsed(text + "]"));
}

// Refilled when it says, and from a clock that lags or is ahead of ours, a page shows at every
// moment what it would if it held all of the program.
TEST(Program, IsFedInParts) {
  for (const bool loop : {false, true}) {
    const Program program = long_one(loop);
    ASSERT_FALSE(program.whole());
    EXPECT_GE(program.half_table(), seconds(60));
    std::map<int64_t, nanoseconds> shown;
    int64_t begun = 0;
    tc_clock_table table = program.table(begun);
    int refills = 0;
    for (int64_t t = 0; t < 6'000'000'000'000; t += 777'777'777) {
      const auto due = program.refill_after(begun);
      if (due && t >= *due) {
        const ClockMaps before = maps_for(table);
        table = program.table(t);
        const ClockMaps after = maps_for(table);
        // Nothing changes by it, neither now nor some time before or after.
        for (const int64_t other : {t - 20'000'000, t, t + 1'000'000'000, t + 20'000'000'000}) {
          ASSERT_EQ(progress(before, nanoseconds(other)), progress(after, nanoseconds(other))) << t;
        }
        begun = t;
        refills++;
      }
      shown[t] = progress(maps_for(table), nanoseconds(t));
    }
    EXPECT_GT(refills, 20) << loop;
    nanoseconds last{0};
    for (const auto& [t, advanced] : shown) {
      ASSERT_GE(advanced, last) << t;
      last = advanced;
      // A page filled for that very moment shows the same.
      ASSERT_EQ(advanced, progress(maps_for(program.table(t)), nanoseconds(t))) << t;
    }
    EXPECT_EQ(program.refill_after(begun).has_value(), loop);
  }
}

TEST(Program, SaysHowLongHalfATableLasts) {
  Schedule schedule;
  for (int i = 0; i < 40; i++) {
    Step step;
    step.at = milliseconds(i);
    schedule.steps.push_back(step);
  }
  EXPECT_EQ(compiled(schedule).half_table(), milliseconds(7));
  schedule.steps.resize(14);
  EXPECT_EQ(compiled(schedule).half_table(), nanoseconds::max());
  EXPECT_FALSE(compiled(schedule).refill_after(0));
}

}  // namespace
}  // namespace time_chaos::clock
