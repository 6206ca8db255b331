// Which slots are free: for calls of all kinds, at once, and beside those that a dead agent has
// left.
#include "agent/syscalls/call_slots.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <vector>

namespace time_chaos::syscalls {
namespace {

using tracee::kSlotSize;

constexpr uint64_t kStart = 0x10000;
constexpr size_t kTime = 16, kSetting = 32;

TEST(CallSlots, GivesEachToOneAtATime) {
  const auto slots = std::make_shared<CallSlots>(
      std::vector<tracee::SlotRange>{{kStart, 2 * kSlotSize + 7}, {0x20000, kSlotSize}});
  auto first = slots->take(kTime);
  auto second = slots->take(kTime);
  auto third = slots->take(kTime);
  ASSERT_TRUE(first && second && third);
  EXPECT_EQ(first->address(), kStart);
  EXPECT_EQ(second->address(), kStart + kSlotSize);
  EXPECT_EQ(third->address(), 0x20000U);
  EXPECT_FALSE(slots->take(kTime)) << "what is left of the first range is too small";
  second.reset();
  EXPECT_EQ(slots->take(kTime)->address(), kStart + kSlotSize) << "given back, and again";
  EXPECT_TRUE(slots->take(kTime));
  EXPECT_TRUE(slots->contains(kStart));
  EXPECT_FALSE(slots->contains(kStart - 1));
}

TEST(CallSlots, ATimersSettingNeedsTwoSideBySide) {
  const auto slots = std::make_shared<CallSlots>(
      std::vector<tracee::SlotRange>{{kStart, kSlotSize}, {0x20000, 6 * kSlotSize}});
  EXPECT_EQ(slots->own_call(), 0x20000U) << "kept";
  auto setting = slots->take(kSetting);
  ASSERT_TRUE(setting);
  EXPECT_EQ(setting->address(), 0x20000U + 3 * kSlotSize);
  EXPECT_EQ(setting->size(), 2 * kSlotSize);
  EXPECT_FALSE(slots->take(kSetting));
  auto moved = std::move(setting);
  setting.reset();
  EXPECT_FALSE(slots->take(kSetting)) << "moved, not given back";
  moved.reset();
  EXPECT_TRUE(slots->take(kSetting));
}

TEST(CallSlots, PassesOverThoseOfADeadAgent) {
  std::vector<uint8_t> memory(3 * kSlotSize, 0xcc);
  const auto start = reinterpret_cast<uint64_t>(memory.data());
  const uint64_t used = start + kSlotSize;
  const auto code = tracee::slot_code({3, 0x1234, 0x401002, false}, used);
  std::memcpy(memory.data() + kSlotSize, code.data(), code.size());
  const std::vector<tracee::SlotRange> ranges{{start, memory.size()}};
  const auto slots = std::make_shared<CallSlots>(ranges);
  const auto own = tracee::Memory::open(::getpid());
  ASSERT_TRUE(own);
  EXPECT_TRUE(tracee::any_in_use(*own, ranges));
  slots->pass_over_used(*own);
  const auto first = slots->take(kTime), second = slots->take(kTime);
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->address(), used);
  EXPECT_NE(second->address(), used);
  EXPECT_FALSE(slots->take(kTime));
  std::memset(memory.data() + kSlotSize, 0, kSlotSize);
  EXPECT_FALSE(tracee::any_in_use(*own, ranges));
}

TEST(CallSlots, KeepsRoomToGetMore) {
  const auto slots =
      std::make_shared<CallSlots>(std::vector<tracee::SlotRange>{{kStart, 3 * kSlotSize}});
  EXPECT_EQ(slots->own_call(), kStart);
  EXPECT_FALSE(slots->take(kTime));
  slots->add({0x20000, kSlotSize});
  EXPECT_TRUE(slots->contains(0x20000));
  auto lease = slots->take(kTime);
  ASSERT_TRUE(lease);
  EXPECT_EQ(lease->address(), 0x20000U);
  lease->keep();
  lease.reset();
  EXPECT_FALSE(slots->take(kTime)) << "never given back";
  slots->no_more();
  EXPECT_FALSE(slots->may_grow());
}

TEST(CallSlots, BehindAVdsoThereIsRoomForSome) {
  const auto ranges = slots_behind_vdso(::getpid());
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_GE(ranges[0].size, 8 * kSlotSize);
  const auto own = tracee::Memory::open(::getpid());
  ASSERT_TRUE(own);
  const auto bytes = own->read(ranges[0].start, ranges[0].size);
  ASSERT_TRUE(bytes);
  for (const uint8_t byte : *bytes) ASSERT_EQ(byte, 0);
}

}  // namespace
}  // namespace time_chaos::syscalls
