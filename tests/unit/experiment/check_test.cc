// The agent's last word on a shift: nothing is reported that was not seen.
#include "agent/experiment/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "agent/vdso/clock_page.h"
#include "tests/unit/vdso/shifted_target.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::hours;
using std::chrono::nanoseconds;
using ::testing::HasSubstr;
using time_chaos::testing::Child;

constexpr nanoseconds kOffset = hours(1) + nanoseconds(7);

class CheckBothWays : public ::testing::TestWithParam<vdso::Detour> {};

TEST_P(CheckBothWays, ReportsTheShiftAndThenTheRecovery) {
  const test::Program program(test::Program::kHot);
  const auto found = test::shift(program.pid(), kOffset, GetParam());
  ASSERT_TRUE(found) << found.error().line();
  for (int i = 0; i < 50; i++) {
    const auto checked = check_vdso(program.pid(), *found);
    ASSERT_TRUE(checked) << checked.error().line();
    EXPECT_EQ(checked->engine, "vdso");
    EXPECT_EQ(checked->clock, CLOCK_REALTIME);
    EXPECT_EQ(checked->offset, kOffset);
    EXPECT_GE(checked->target, clock::plus(checked->host, kOffset));
  }
  const auto early = check_recovered(program.pid());
  ASSERT_FALSE(early);
  EXPECT_THAT(early.error().line(), HasSubstr("is left in it"));
  ASSERT_TRUE(test::recover(program.pid()));
  const auto checked = check_recovered(program.pid());
  ASSERT_TRUE(checked) << checked.error().line();
  EXPECT_EQ(checked->offset, nanoseconds(0));
  EXPECT_FALSE(check_vdso(program.pid(), vdso::Found{}));
}

INSTANTIATE_TEST_SUITE_P(Check, CheckBothWays,
                         ::testing::Values(vdso::Detour::kAuto, vdso::Detour::kFiveByte),
                         [](const auto& test) {
                           return test.param == vdso::Detour::kAuto ? "OneByte" : "FiveBytes";
                         });

TEST(CheckVdso, ReportsTheFirstClockOfTheExperiment) {
  const test::Program program;
  const auto found = test::shift(program.pid(), kOffset, vdso::Detour::kAuto,
                                 clock::ClockSet(1U << CLOCK_MONOTONIC | 1U << CLOCK_BOOTTIME));
  ASSERT_TRUE(found) << found.error().line();
  const auto checked = check_vdso(program.pid(), *found);
  ASSERT_TRUE(checked) << checked.error().line();
  EXPECT_EQ(checked->clock, CLOCK_MONOTONIC);
  EXPECT_EQ(checked->offset, kOffset);
  EXPECT_LT(checked->target.sec - checked->host.sec, 3610);
}

// Every clock is looked at: a map that is not the one expected is found, whichever it is.
TEST(CheckVdso, SeesAChangedMap) {
  const test::Program program;
  const auto found = test::shift(program.pid(), kOffset);
  ASSERT_TRUE(found) << found.error().line();
  const tc_clock_page& page = found->page;
  auto live = vdso::ClockPage::open(program.pid(), found->clock_page());
  ASSERT_TRUE(live) << live.error().line();
  const clock::ClockMaps maps = clock::maps_in_force(page);
  for (const int id : {0, 1, 2, 3, 4, 5, 6, 7, 11}) {
    clock::ClockMaps changed = maps;
    // Half a minute: more than any clock may lag.
    changed[static_cast<size_t>(id)].fake_sec += 30;
    ASSERT_TRUE(live->publish(changed));
    const auto checked = check_vdso(program.pid(), *found);
    ASSERT_FALSE(checked) << id;
    EXPECT_EQ(checked.error().kind(), Exit::kFailed);
    EXPECT_THAT(checked.error().line(), HasSubstr("clock " + clock::clock_name(id) + " reads"));
  }
  ASSERT_TRUE(live->publish(maps));
  EXPECT_TRUE(check_vdso(program.pid(), *found));
}

// On clocks other than coarse ones, 50 ms (more than the pause between two readings) are seen.
TEST(CheckVdso, IsExact) {
  const test::Program program;
  auto found = test::shift(program.pid(), kOffset);
  ASSERT_TRUE(found) << found.error().line();
  found->page.maps0[CLOCK_MONOTONIC].fake_nsec += 50'000'000;
  found->page.maps1[CLOCK_MONOTONIC].fake_nsec += 50'000'000;
  const auto checked = check_vdso(program.pid(), *found);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().line(), HasSubstr("clock monotonic reads"));
}

// Where no mirror can be set up: here because the vDSO is sealed, and its place is taken.
TEST(CheckVdso, ComputesWhatItCannotRun) {
  if (!test::kernel_seals()) GTEST_SKIP() << "this kernel has no mseal";
  const Child child;
  const auto found = test::shift(child.pid(), kOffset);
  ASSERT_TRUE(found) << found.error().line();
  const auto in_fork = [&] {
    if (!test::seal_own_vdso()) return 1;
    const test::Occupied code(found->code);
    const auto checked = check_vdso(child.pid(), *found);
    const bool right =
        checked && checked->engine == "vdso (computed)" && checked->offset == kOffset;
    if (!right) std::fprintf(stderr, "%s\n", checked ? "wrong" : checked.error().line().c_str());
    return right ? 0 : 1;
  };
  EXPECT_EXIT(::_exit(in_fork()), ::testing::ExitedWithCode(0), "");
}

TEST(CheckVdso, SeesAnotherTimeZone) {
  const test::Program program;
  auto found = test::shift(program.pid(), kOffset);
  ASSERT_TRUE(found) << found.error().line();
  found->page.tz_minuteswest += 60;
  const auto checked = check_vdso(program.pid(), *found);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().line(), HasSubstr("time zone"));
}

// The hook of each function, made to return without having done anything: xor eax, eax; ret.
class DamagedFunction : public ::testing::TestWithParam<payload::Function> {};

TEST_P(DamagedFunction, IsNamed) {
  const Child child;
  const auto found = test::shift(child.pid(), kOffset);
  ASSERT_TRUE(found) << found.error().line();
  auto memory = tracee::Memory::open(child.pid());
  const std::vector<uint8_t> nothing = {0x31, 0xc0, 0xc3};
  ASSERT_TRUE(memory->write(found->code + payload::hook_offset(GetParam()), nothing));
  const auto checked = check_vdso(child.pid(), *found);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().kind(), Exit::kFailed);
  const std::string name = GetParam() == payload::Function::kClockGettime
                               ? "clock realtime"
                               : payload::function_name(GetParam());
  EXPECT_THAT(checked.error().line(), ::testing::StartsWith(name + " reads 0.000000000"));
}

INSTANTIATE_TEST_SUITE_P(Check, DamagedFunction,
                         ::testing::Values(payload::Function::kClockGettime,
                                           payload::Function::kGettimeofday,
                                           payload::Function::kTime),
                         [](const auto& test) {
                           return std::string(payload::function_name(test.param));
                         });

}  // namespace
}  // namespace time_chaos::experiment
