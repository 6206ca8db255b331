#include "agent/tracee/call_slot.h"

#include "agent/tracee/memory.h"

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

}  // namespace time_chaos::tracee
