#include "agent/vdso/plt_record.h"

#include <fmt/format.h>

#include <unordered_map>

namespace time_chaos::vdso {
namespace {

using payload::SlotRecord;
using payload::SlotTable;

// The table's records, with the wanted ones among them. Each step is one pass, because all threads
// stand still meanwhile.
class Records {
 public:
  Records(const tracee::Memory& memory, const PltPlace& place, std::vector<SlotRecord> known)
      : memory_(memory), place_(place), all_(std::move(known)) {}

  Status add(const std::vector<SlotRecord>& wanted) {
    std::unordered_map<uint64_t, const SlotRecord*> left;
    for (const SlotRecord& slot : wanted) left.emplace(slot.address, &slot);
    std::vector<SlotRecord*> others;
    for (SlotRecord& known : all_) {
      const auto same = left.find(known.address);
      if (same == left.end()) {
        others.push_back(&known);
      } else {
        known = *same->second;
        left.erase(same);
      }
    }
    for (SlotRecord* other : others) {
      if (left.empty()) return {};
      if (led_slots(memory_, place_, {*other}) != 0) continue;
      *other = *left.begin()->second;
      left.erase(left.begin());
    }
    if (all_.size() + left.size() > payload::kMostSlots) {
      return fail(Exit::kUnsupported,
                  fmt::format("it has more than {} slots for clock functions", payload::kMostSlots),
                  "choose modules with --module");
    }
    for (const auto& [address, slot] : left) all_.push_back(*slot);
    return {};
  }

  [[nodiscard]] const std::vector<SlotRecord>& all() const { return all_; }

 private:
  const tracee::Memory& memory_;
  const PltPlace& place_;
  std::vector<SlotRecord> all_;
};

}  // namespace

Status record_slots(tracee::Memory& memory, const PltPlace& place,
                    const std::vector<SlotRecord>& wanted) {
  TC_TRY(const SlotTable table, read_slot_table(memory, place));
  TC_TRY(auto known, read_slots(memory, place));
  Records records(memory, place, std::move(known));
  TC_CHECK(records.add(wanted));
  uint32_t copied = table.copied;
  for (const SlotRecord& slot : wanted) {
    if (slot.copied != 0) copied |= 1U << slot.function;
  }
  if (copied != table.copied) {
    TC_CHECK(memory.write_value(place.table() + offsetof(SlotTable, copied), copied));
  }
  const auto& all = records.all();
  TC_CHECK(memory.write(
      place.plt + payload::kSlotsOffset,
      {reinterpret_cast<const uint8_t*>(all.data()), all.size() * sizeof(SlotRecord)}));
  return memory.write_value(place.table() + offsetof(SlotTable, count),
                            static_cast<uint32_t>(all.size()));
}

}  // namespace time_chaos::vdso
