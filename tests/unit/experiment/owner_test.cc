// Who a clock page says owns it, and whether that one still lives.
#include "agent/experiment/owner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "agent/targets/process.h"
#include "tests/unit/targets/child.h"

namespace time_chaos::experiment {
namespace {

TEST(Owner, IsWhoSigned) {
  tc_clock_page page{};
  EXPECT_FALSE(living_owner(page));
  sign(page);
  EXPECT_EQ(living_owner(page), ::getpid());
  unsign(page);
  EXPECT_FALSE(living_owner(page));
  EXPECT_EQ(page.owner_pid, 0U);
  EXPECT_EQ(page.owner_start, 0U);
  EXPECT_EQ(page.owner_pidns, 0U);
}

TEST(Owner, IsNotSomebodyElseWithItsPid) {
  tc_clock_page page{};
  sign(page);
  page.owner_start++;
  EXPECT_FALSE(living_owner(page));
}

TEST(Owner, OfAnotherPidNamespaceIsUnknown) {
  tc_clock_page page{};
  sign(page);
  page.owner_pidns++;
  EXPECT_FALSE(living_owner(page));
}

TEST(Owner, ThatHasEndedIsNone) {
  time_chaos::testing::Child child;
  tc_clock_page page{};
  sign(page);
  page.owner_pid = static_cast<uint32_t>(child.pid());
  page.owner_start = targets::read_start_time(child.pid()).value();
  EXPECT_EQ(living_owner(page), child.pid());
  child.end();
  EXPECT_FALSE(living_owner(page));
}

TEST(Owner, WhoHasEndedAbandonedItsExperiment) {
  time_chaos::testing::Child child;
  tc_clock_page page{};
  EXPECT_FALSE(abandoned(page));
  page.experiment[0] = 'x';
  EXPECT_FALSE(abandoned(page)) << "detached";
  sign(page);
  EXPECT_FALSE(abandoned(page)) << "we live";
  page.owner_pid = static_cast<uint32_t>(child.pid());
  page.owner_start = targets::read_start_time(child.pid()).value();
  EXPECT_FALSE(abandoned(page)) << "it lives";
  child.end();
  EXPECT_TRUE(abandoned(page));
  page.owner_pidns++;
  EXPECT_FALSE(abandoned(page)) << "elsewhere: nobody can tell";
  page.owner_pidns--;
  page.experiment[0] = '\0';
  EXPECT_FALSE(abandoned(page)) << "recovered";
}

TEST(Owner, LeavesTheRestOfThePageAlone) {
  tc_clock_page page{};
  page.clocks = 3;
  page.latch = 5;
  page.experiment[0] = 'x';
  sign(page);
  unsign(page);
  EXPECT_EQ(page.clocks, 3U);
  EXPECT_EQ(page.latch, 5U);
  EXPECT_EQ(page.experiment[0], 'x');
}

}  // namespace
}  // namespace time_chaos::experiment
