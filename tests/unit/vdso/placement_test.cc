// Where our pages may go in an address space that is given as the kernel writes it.
#include "agent/vdso/placement.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kStackEnd = 0x7ffffffff000;
constexpr uint64_t kStackStart = 0x7ffffffde000;
constexpr uint64_t kVdso = 0x7ffff7fc1000;
constexpr uint64_t kLibrary = 0x7ffff7c00000;

const std::string kMaps =
    "555555554000-555555556000 r-xp 00000000 fe:00 7 /usr/bin/x\n"
    "7ffff7c00000-7ffff7e00000 r-xp 00000000 fe:00 8 /usr/lib/libc.so.6\n"
    "7ffff7fbd000-7ffff7fc1000 r--p 00000000 00:00 0 [vvar]\n"
    "7ffff7fc1000-7ffff7fc3000 r-xp 00000000 00:00 0 [vdso]\n"
    "7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]\n";

targets::Mappings mappings(const std::string& text = kMaps) {
  return targets::Mappings::parse(text).value();
}

TEST(Placement, TakesFreePagesOnly) {
  const auto all = mappings();
  const Placement placement(all, 8 * kMiB);
  EXPECT_TRUE(placement.usable(kLibrary - kPage, kPage));
  EXPECT_FALSE(placement.usable(kLibrary, kPage));
  EXPECT_FALSE(placement.usable(kLibrary - kPage, 2 * kPage)) << "ends inside";
  EXPECT_FALSE(placement.usable(0x7ffff7dff000, 2 * kPage)) << "begins inside";
  EXPECT_FALSE(placement.usable(kLibrary - kPage, 4 * kMiB)) << "reaches over";
  EXPECT_TRUE(placement.usable(0x7ffff7e00000, kPage));
  EXPECT_FALSE(placement.usable(0, kPage));
  EXPECT_FALSE(placement.usable(0x7ffffffff000, kPage));
}

TEST(Placement, KeepsOutOfWhereTheStackMayGrow) {
  const auto all = mappings();
  const Placement placement(all, 8 * kMiB);
  const uint64_t lowest = kStackEnd - 8 * kMiB;
  EXPECT_FALSE(placement.usable(kStackStart - kPage, kPage));
  EXPECT_FALSE(placement.usable(lowest, kPage));
  EXPECT_FALSE(placement.usable(lowest - kMiB, kPage)) << "the kernel's gap below a stack";
  EXPECT_TRUE(placement.usable(lowest - 3 * kMiB, kPage));
  EXPECT_FALSE(placement.usable(lowest - 3 * kMiB, 2 * kMiB));
}

TEST(Placement, AStackWithoutALimitMayGrowFar) {
  const auto all = mappings("7ffffffde000-7ffffffff000 rw-p 00000000 00:00 0 [stack]\n");
  const Placement limited(all, 8 * kMiB);
  const Placement unlimited(all, RLIM_INFINITY);
  EXPECT_TRUE(limited.usable(kStackEnd - 512 * kMiB, kPage));
  EXPECT_FALSE(unlimited.usable(kStackEnd - 512 * kMiB, kPage));
}

TEST(Placement, AnAbsurdStackLimitTakesWhatIsBelowTheStack) {
  const auto all = mappings();
  const Placement placement(all, RLIM_INFINITY - 5 * kMiB);
  EXPECT_FALSE(placement.usable(kLibrary - kPage, kPage));
}

TEST(Placement, FindsAPlaceNearWithAMarginOnBothSides) {
  const auto all = mappings();
  const Placement placement(all, 8 * kMiB);
  const auto at = placement.find_near(kVdso, 2 * kPage);
  ASSERT_TRUE(at);
  EXPECT_EQ(*at % kPage, 0U);
  EXPECT_LT(std::max(*at, kVdso) - std::min(*at, kVdso), 0x60000000U);
  EXPECT_TRUE(all.is_free(*at - 4 * kPage, 10 * kPage));
}

TEST(Placement, GoesFurtherWhereTheSurroundingsAreTaken) {
  // All within 256 MiB below, and everything above, is taken.
  const auto all = mappings("7fffe8000000-7ffff7fc1000 r--p 00000000 00:00 0 \n" +
                            kMaps.substr(kMaps.find("7ffff7fc1000-")));
  const Placement placement(all, 256 * kMiB);
  const auto at = placement.find_near(kVdso, 2 * kPage);
  ASSERT_TRUE(at);
  EXPECT_LT(*at + 2 * kPage, 0x7fffe8000000U);
}

TEST(Placement, NeverOffersWhatIsReserved) {
  const auto all = mappings();
  Placement placement(all, 8 * kMiB);
  const auto first = placement.find_near(kVdso, 2 * kPage);
  ASSERT_TRUE(first);
  placement.reserve({*first, kPage});
  EXPECT_FALSE(placement.usable(*first, kPage));
  EXPECT_FALSE(placement.usable(*first - kPage, 2 * kPage));
  EXPECT_TRUE(placement.usable(*first + kPage, kPage));
  const auto second = placement.find_near(kVdso, 2 * kPage);
  ASSERT_TRUE(second);
  EXPECT_NE(*second, *first);
}

TEST(Placement, FindsNothingWhereEverythingNearIsTaken) {
  const auto all = mappings("7fff80000000-7ffffffff000 r--p 00000000 00:00 0 [vdso]\n");
  EXPECT_FALSE(Placement(all, 8 * kMiB).find_near(kVdso, kPage));
}

TEST(StackLimit, IsTheOneOfTheProcess) {
  rlimit own{};
  ::getrlimit(RLIMIT_STACK, &own);
  EXPECT_EQ(stack_limit_of(::getpid()), own.rlim_cur);
  EXPECT_EQ(stack_limit_of(0x3ffffe), RLIM_INFINITY);  // the careful answer when none is known
}

}  // namespace
}  // namespace time_chaos::vdso
