#include "agent/tracee/call_slot.h"

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
