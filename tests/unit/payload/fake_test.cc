// The pages of --fake: nothing of them overlaps, and they are found again.
#include "agent/payload/fake.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace time_chaos::payload {
namespace {

TEST(FakePages, TheCodeHasRoom) {
  EXPECT_LE(fake_code().size(), kFakeRecordOffset);
  EXPECT_EQ(fake_code().size() - fake_data_offset(), sizeof(FakeData));
}

// A kernel that steps back from one by the length of a system call instruction comes to the other.
TEST(FakePages, TheRestartIsASystemCallsLengthBehindTheEntry) {
  EXPECT_EQ(fake_enter_offset() + 2, fake_restart_offset());
}

TEST(FakePages, ThePartsAdjoinAndAreFoundAgain) {
  for (const uint64_t image : {uint64_t{1}, kPageSize, kPageSize + 1, uint64_t{16} << 20}) {
    const auto parts = fake_parts(0x7f0000000000, image);
    PageRange pads[kMaxPads];
    std::copy(parts.begin(), parts.end(), pads);
    EXPECT_EQ(fake_place(pads), 0x7f0000000000U);
    EXPECT_EQ(pads[2].start + pads[2].size, pads[0].start + fake_size(image));
    EXPECT_GE(pads[1].start + pads[1].size, pads[0].start + kFakeImageOffset + image);
  }
}

TEST(FakePages, LandingPadsAreNone) {
  PageRange pads[kMaxPads] = {{0x7f0000000000, kPageSize}, {0x7f0000001000, kPageSize}, {}};
  EXPECT_FALSE(fake_place(pads));
  pads[2] = {0x7f0000002000, kPageSize};
  EXPECT_FALSE(fake_place(pads));
  const PageRange none[kMaxPads] = {};
  EXPECT_FALSE(fake_place(none));
}

TEST(FakePages, RoutesAreRealAtFirst) {
  const FakeData data = fake_data(0x1000);
  EXPECT_EQ(data.on, 0U);
  EXPECT_EQ(data.library[0], 0U);
  EXPECT_EQ(data.original[1], 0x1000 + hook_offset(Function::kGettimeofday));
  EXPECT_EQ(data.clock_page, 0x1000 + kClockPageOffset);
}

}  // namespace
}  // namespace time_chaos::payload
