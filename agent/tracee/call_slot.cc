#include "agent/tracee/call_slot.h"

#include <algorithm>

namespace time_chaos::tracee {

Registers without_slot(pid_t pid, const Registers& stopped, std::span<const SlotRange> slots) {
  const auto memory = Memory::open(pid);
  if (!memory) return stopped;
  for (const SlotRange& range : slots) {
    if (!range.contains(stopped.ip())) continue;
    const uint64_t slot = range.start + (stopped.ip() - range.start) / kSlotSize * kSlotSize;
    std::array<uint8_t, kSlotCode> code{};
    if (!memory->read(slot, code)) return stopped;
    const auto replaced = parse_slot(code, slot);
    if (replaced) return put_back(stopped, *replaced, slot);
  }
  return stopped;
}

bool is_free(std::span<const uint8_t> code) {
  const auto all = [&](uint8_t value) {
    return std::all_of(code.begin(), code.end(), [value](uint8_t byte) { return byte == value; });
  };
  return all(0) || all(0xcc);
}

bool is_free_or_old(std::span<const uint8_t> code, uint64_t slot) {
  return is_free(code) || parse_slot(code, slot);
}

bool any_in_use(const Memory& memory, std::span<const SlotRange> slots) {
  std::array<uint8_t, kSlotCode> code{};
  for (const SlotRange& range : slots) {
    for (uint64_t at = 0; at + kSlotSize <= range.size; at += kSlotSize) {
      if (memory.read(range.start + at, code) && parse_slot(code, range.start + at)) return true;
    }
  }
  return false;
}

}  // namespace time_chaos::tracee
