// The records of slots, in a table in our own memory: none is lost whose slot leads to us, and
// those of slots that are gone are used again.
#include "agent/vdso/plt_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <map>
#include <optional>
#include <string>

namespace time_chaos::vdso {
namespace {

using payload::SlotRecord;
constexpr uint32_t kMost = payload::kMostSlots;

class Recorded : public ::testing::Test {
 protected:
  void SetUp() override {
    place_ = {0x123456789000, reinterpret_cast<uint64_t>(pages_.data())};
    auto memory = tracee::Memory::open(::getpid());
    ASSERT_TRUE(memory) << memory.error().message();
    memory_.emplace(std::move(*memory));
    ASSERT_TRUE(memory_->write_value(place_.table(), payload::SlotTable{}));
  }

  // `count` slots from the `first` on, as a scan finds them.
  std::vector<SlotRecord> slots(size_t first, size_t count, uint32_t copied = 0) {
    std::vector<SlotRecord> found;
    for (size_t i = first; i < first + count; i++) {
      values_[i] = 1000 + i;
      found.push_back({reinterpret_cast<uint64_t>(&values_[i]), values_[i],
                       static_cast<uint32_t>(i % payload::kImportedCount), copied});
    }
    return found;
  }
  void lead(const std::vector<SlotRecord>& found) {
    for (const SlotRecord& slot : found) {
      ASSERT_TRUE(memory_->write_value(slot.address, place_.hook(slot)));
    }
  }
  void record_and_lead(const std::vector<SlotRecord>& found) {
    const auto recorded = record_slots(*memory_, place_, found);
    ASSERT_TRUE(recorded) << recorded.error().message();
    lead(found);
  }
  // What the table says stood in slots; each has one record.
  std::map<uint64_t, uint64_t> originals() {
    std::map<uint64_t, uint64_t> all;
    const auto slots = read_slots(*memory_, place_);
    EXPECT_TRUE(slots);
    for (const SlotRecord& slot : *slots) {
      EXPECT_TRUE(all.emplace(slot.address, slot.original).second) << "recorded twice";
    }
    return all;
  }
  void expect_recorded(const std::vector<SlotRecord>& found) {
    auto all = originals();
    for (const SlotRecord& slot : found) EXPECT_EQ(all[slot.address], slot.original);
  }

  alignas(16) std::array<uint8_t, payload::kPltSize> pages_{};
  std::array<uint64_t, size_t{3} * kMost> values_{};
  PltPlace place_;
  std::optional<tracee::Memory> memory_;
};

TEST_F(Recorded, KeepsThoseThatLeadToUs) {
  const auto first = slots(0, 500);
  record_and_lead(first);
  const auto second = slots(500, 400);
  record_and_lead(second);
  expect_recorded(first);
  expect_recorded(second);
  EXPECT_EQ(originals().size(), 900U);
}

TEST_F(Recorded, UsesTheRecordsOfSlotsThatAreGone) {
  const auto kept = slots(0, 100);
  record_and_lead(kept);
  for (int round = 0; round < 6; round++) {
    const auto found = slots(round % 2 == 0 ? 1000 : 2000, 900);
    record_and_lead(found);
    expect_recorded(kept);
    expect_recorded(found);
    EXPECT_EQ(originals().size(), 1000U);
    std::fill(values_.begin() + 1000, values_.end(), 0);  // unloaded
  }
}

TEST_F(Recorded, ASlotThatWasBoundAnewIsRecordedAnew) {
  auto found = slots(0, 10);
  record_and_lead(found);
  for (SlotRecord& slot : found) {
    slot.original += 7;
    ASSERT_TRUE(memory_->write_value(slot.address, slot.original));
  }
  record_and_lead(found);
  expect_recorded(found);
  EXPECT_EQ(originals().size(), 10U);
}

TEST_F(Recorded, RefusesMoreThanThereIsRoomFor) {
  const auto first = slots(0, kMost - 1);
  record_and_lead(first);
  const auto more = slots(kMost, 2);
  const auto refused = record_slots(*memory_, place_, more);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), Exit::kUnsupported);
  expect_recorded(first);
  EXPECT_EQ(originals().size(), first.size());
  record_and_lead({more.front()});
  EXPECT_EQ(originals().size(), kMost);
}

TEST_F(Recorded, WhatMayHaveBeenCopiedStaysSaid) {
  auto found = slots(0, 1, 1);
  record_and_lead(found);
  values_[0] = 0;
  record_and_lead(slots(8, 1));
  EXPECT_EQ(originals().size(), 1U);
  EXPECT_EQ(read_slot_table(*memory_, place_)->copied, 1U);
}

// Everybody stands still meanwhile.
TEST_F(Recorded, ReadsEachSlotOnceAtMost) {
  record_and_lead(slots(0, 100));
  record_and_lead(slots(1000, 1200));
  std::fill(values_.begin() + 1000, values_.end(), 0);
  const auto found = slots(2500, 1200);
  const auto reads = [] {
    std::ifstream file("/proc/thread-self/io");
    std::string name;
    uint64_t count = 0;
    while (file >> name >> count) {
      if (name == "syscr:") return count;
    }
    return uint64_t{0};
  };
  const uint64_t before = reads();
  if (before == 0) GTEST_SKIP() << "the kernel does not count reads";
  ASSERT_TRUE(record_slots(*memory_, place_, found));
  EXPECT_LT(reads() - before, 1400U);
}

}  // namespace
}  // namespace time_chaos::vdso
