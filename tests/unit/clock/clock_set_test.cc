// Clock names are the kernel's, and the groups are what DESIGN §6 calls wall and monotonic.
#include "agent/clock/clock_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <time.h>

namespace time_chaos::clock {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ClockSet of(std::initializer_list<int> clocks) {
  uint32_t bits = 0;
  for (const int clock : clocks) bits |= 1U << clock;
  return ClockSet(bits);
}

TEST(ClockSet, GroupsHoldTheKernelsIds) {
  EXPECT_EQ(ClockSet::wall(),
            of({CLOCK_REALTIME, CLOCK_REALTIME_COARSE, CLOCK_REALTIME_ALARM, CLOCK_TAI}));
  EXPECT_EQ(ClockSet::monotonic_family(),
            of({CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
                CLOCK_BOOTTIME_ALARM}));
  for (int id = 0; id < TC_CLOCK_COUNT; id++) {
    EXPECT_EQ(is_monotonic(id), !ClockSet::wall().has(id)) << id;
  }
  EXPECT_TRUE(is_monotonic(CLOCK_PROCESS_CPUTIME_ID));
}

TEST(ClockSet, HasOnlyIdsInRange) {
  const ClockSet all(~0U);
  EXPECT_EQ(all.bits(), 0xfffU);
  EXPECT_TRUE(all.has(0));
  EXPECT_TRUE(all.has(11));
  EXPECT_FALSE(all.has(-1));
  EXPECT_FALSE(all.has(12));
  EXPECT_FALSE(all.has(64));
}

TEST(ClockSet, PrintsWallOrTheNames) {
  EXPECT_EQ(ClockSet::wall().text(), "wall");
  EXPECT_EQ(of({0}).text(), "realtime");
  EXPECT_EQ(of({1, 0}).text(), "realtime,monotonic");
  EXPECT_EQ(ClockSet().text(), "none");
  EXPECT_THAT(of({5, 11}).names(), ElementsAre("realtime_coarse", "tai"));
  EXPECT_EQ(clock_name(0), "realtime");
  EXPECT_EQ(clock_name(9), "boottime_alarm");
  EXPECT_EQ(clock_name(10), "clock 10");
  EXPECT_EQ(clock_name(12), "clock 12");
  EXPECT_EQ(clock_name(-6), "clock -6");
}

TEST(ParseClocks, TakesKernelNamesInAnyCaseWithOrWithoutThePrefix) {
  EXPECT_EQ(parse_clocks("realtime").value(), of({CLOCK_REALTIME}));
  EXPECT_EQ(parse_clocks("CLOCK_MONOTONIC").value(), of({CLOCK_MONOTONIC}));
  EXPECT_EQ(parse_clocks("Clock_Tai,BootTime").value(), of({CLOCK_TAI, CLOCK_BOOTTIME}));
  EXPECT_EQ(parse_clocks("realtime,realtime").value(), of({CLOCK_REALTIME}));
  EXPECT_EQ(parse_clocks("CLOCK_PROCESS_CPUTIME_ID,thread_cputime_id").value(), of({2, 3}));
  EXPECT_EQ(parse_clocks("wall").value(), ClockSet::wall());
  EXPECT_EQ(parse_clocks("wall,monotonic").value(), ClockSet::wall() | of({CLOCK_MONOTONIC}));
  EXPECT_EQ(parse_clocks("MONOTONIC-FAMILY").value(), ClockSet::monotonic_family());
  EXPECT_EQ(parse_clocks("all").value(), ClockSet(0xfffU & ~(1U << 10)));
}

TEST(ParseClocks, EveryNameParsesBackToItsClock) {
  for (int id = 0; id < TC_CLOCK_COUNT; id++) {
    if (id == 10) continue;  // no kernel has it
    EXPECT_EQ(parse_clocks(clock_name(id)).value(), of({id})) << id;
    EXPECT_EQ(parse_clocks("CLOCK_" + clock_name(id)).value(), of({id})) << id;
  }
}

TEST(ParseClocks, RefusesWhatItDoesNotKnow) {
  for (const std::string_view text :
       {"", ",", "realtime,", ",realtime", "realtime,,tai", "real", "CLOCK_", "clock_wall",
        "clock_clock_tai", "realtime, tai", " realtime", "clock 10", "0", "none", "sgi_cycle"}) {
    const auto got = parse_clocks(text);
    ASSERT_FALSE(got) << '"' << text << '"';
    EXPECT_EQ(got.error().kind(), Exit::kUsage) << text;
    EXPECT_NE(got.error().remedy(), "") << text;
  }
}

TEST(ParseClocks, TheErrorNamesTheWordAndListsWhatIsKnown) {
  const std::string line = parse_clocks("realtime,sundial,tai").error().line();
  EXPECT_THAT(line, HasSubstr("\"sundial\""));
  EXPECT_THAT(line, HasSubstr("monotonic_coarse"));
  EXPECT_THAT(line, HasSubstr("monotonic-family"));
}

}  // namespace
}  // namespace time_chaos::clock
