#include "agent/targets/pick.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace time_chaos::targets {
namespace {

using ::testing::ElementsAre;
using ::testing::IsSubsetOf;
using ::testing::SizeIs;

const std::vector<std::string> kFour{"a", "b", "c", "d"};

TEST(Pick, ByMode) {
  EXPECT_THAT(*pick(kFour, "all", std::nullopt), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(*pick(kFour, "one", std::nullopt), SizeIs(1));
  EXPECT_THAT(*pick(kFour, "fixed", "3"), SizeIs(3));
  EXPECT_THAT(*pick(kFour, "fixed", "9"), SizeIs(4));
  EXPECT_THAT(*pick(kFour, "fixed-percent", "50"), SizeIs(2));
  EXPECT_THAT(*pick(kFour, "fixed-percent", "1"), SizeIs(1));
  EXPECT_THAT(*pick({}, "one", std::nullopt), SizeIs(0));
}

TEST(Pick, AtRandom) {
  std::set<size_t> counts;
  std::set<std::string> ones;
  for (int i = 0; i < 300; ++i) {
    const auto some = pick(kFour, "random-max-percent", "75");
    EXPECT_THAT(*some, IsSubsetOf(kFour));
    counts.insert(some->size());
    ones.insert(pick(kFour, "one", std::nullopt)->front());
  }
  EXPECT_THAT(counts, ElementsAre(1, 2, 3));
  EXPECT_THAT(ones, ElementsAre("a", "b", "c", "d"));
}

TEST(Pick, RefusesWhatIsNoMode) {
  EXPECT_EQ(pick(kFour, "two", std::nullopt).error().kind(), Exit::kUsage);
  for (const char* value : {"", "0", "x", "-1", "101"}) {
    EXPECT_FALSE(pick(kFour, "fixed-percent", value)) << value;
  }
  EXPECT_FALSE(pick(kFour, "fixed", std::nullopt));
  for (const char* mode : {"all", "one"}) {
    const auto picked = pick(kFour, mode, "2");
    ASSERT_FALSE(picked) << mode << ": it wants no value";
    EXPECT_EQ(picked.error().kind(), Exit::kUsage);
    EXPECT_TRUE(pick(kFour, mode, "")) << "as good as none";
  }
}

}  // namespace
}  // namespace time_chaos::targets
