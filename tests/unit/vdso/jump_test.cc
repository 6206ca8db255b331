// Jumps by their bytes: where they lead, and how far they reach.
#include "agent/vdso/jump.h"

#include <gtest/gtest.h>

#include <cstring>

namespace time_chaos::vdso {
namespace {

using Bytes = std::vector<uint8_t>;
constexpr uint64_t kEntry = 0x7ffff7fc1a40;

// Where E9 rel32 at `from` leads.
uint64_t target_of(uint64_t from, const Bytes& jump) {
  EXPECT_EQ(jump.at(0), 0xe9);
  int32_t distance = 0;
  std::memcpy(&distance, jump.data() + 1, sizeof distance);
  return from + 5 + static_cast<uint64_t>(static_cast<int64_t>(distance));
}

TEST(PunnedTarget, IsWhereTheFourBytesBehindTheFirstPoint) {
  // endbr64; push rbp: f3 0f 1e fa 55 -> e9 0f 1e fa 55
  const Bytes forward = {0xf3, 0x0f, 0x1e, 0xfa, 0x55};
  EXPECT_EQ(punned_target(kEntry, forward), kEntry + 5 + 0x55fa1e0f);
  // push rbp; mov rbp, rsp; push r14...: a negative distance
  const Bytes back = {0x55, 0x48, 0x89, 0xe5, 0xff};
  EXPECT_EQ(punned_target(kEntry, back), kEntry + 5 - 0x001a76b8);
}

TEST(PunnedEntry, ChangesTheFirstByteAlone) {
  EXPECT_EQ(punned_entry(Bytes{0x55, 0x48, 0x89, 0xe5, 0x41, 0x56, 0x41}),
            (Bytes{0xe9, 0x48, 0x89, 0xe5, 0x41}));
}

TEST(PunnedEntry, IsAJumpToThePunnedTarget) {
  const Bytes entry = {0x55, 0x12, 0x34, 0x56, 0xf8};
  EXPECT_EQ(target_of(kEntry, punned_entry(entry)), punned_target(kEntry, entry));
}

TEST(NearJump, ReachesTwoGibibytesEitherWayAndNoFurther) {
  const uint64_t most = kEntry + 5 + 0x7fffffff;
  const uint64_t least = kEntry + 5 - 0x80000000;
  for (const uint64_t to : {kEntry, kEntry + 5, most, least}) {
    const auto jump = near_jump(kEntry, to);
    ASSERT_TRUE(jump) << to;
    EXPECT_EQ(jump->size(), kJumpSize);
    EXPECT_EQ(target_of(kEntry, *jump), to);
  }
  EXPECT_FALSE(near_jump(kEntry, most + 1));
  EXPECT_FALSE(near_jump(kEntry, least - 1));
  EXPECT_FALSE(near_jump(0x10000, kEntry));
}

TEST(PadJump, IsShortWhereItCanBeAndReachesAnywhereElse) {
  const Bytes near = pad_jump(kEntry, kEntry + 0x1000);
  EXPECT_EQ(target_of(kEntry, near), kEntry + 0x1000);
  // jmp [rip + 0], the address behind it
  const uint64_t far_away = 0x555555554000;
  const Bytes far = pad_jump(kEntry, far_away);
  EXPECT_EQ(Bytes(far.begin(), far.begin() + 6), (Bytes{0xff, 0x25, 0, 0, 0, 0}));
  uint64_t to = 0;
  ASSERT_EQ(far.size(), kPadSize);
  std::memcpy(&to, far.data() + 6, sizeof to);
  EXPECT_EQ(to, far_away);
}

TEST(Relocated, IsThePrologueAndAJumpBehindIt) {
  const Prologue prologue{{0x55, 0x48, 0x89, 0xe5, 0x41, 0x56}, {0, 1, 4}};
  const uint64_t at = kEntry - 0x10000;
  const auto bytes = relocated(prologue, kEntry, at);
  ASSERT_TRUE(bytes) << bytes.error().line();
  ASSERT_EQ(bytes->size(), 6 + kJumpSize);
  EXPECT_EQ(Bytes(bytes->begin(), bytes->begin() + 6), prologue.bytes);
  // Never to entry + 1, nor into the bytes that were moved.
  EXPECT_EQ(target_of(at + 6, Bytes(bytes->begin() + 6, bytes->end())), kEntry + 6);
  EXPECT_FALSE(relocated(prologue, kEntry, 0x10000));
}

}  // namespace
}  // namespace time_chaos::vdso
