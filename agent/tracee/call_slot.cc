#include "agent/tracee/call_slot.h"

#include <algorithm>

#include "agent/tracee/own_call.h"

namespace time_chaos::tracee {
namespace {

// The code of a call of ours that has the slot, as one of several.
std::optional<Home> home_from(const Memory& memory, const SlotRange& range, uint64_t slot) {
  std::array<uint8_t, kOwnCallCode> code{};
  for (uint64_t at = slot; at >= range.start && slot - at < kOwnCallSize; at -= kSlotSize) {
    if (!memory.read(at, code)) continue;
    if (auto home = parse_own_call(code, at)) return home;
  }
  return std::nullopt;
}

}  // namespace

Registers without_slot(pid_t pid, const Registers& stopped, std::span<const SlotRange> slots) {
  const auto memory = Memory::open(pid);
  if (!memory) return stopped;
  for (const SlotRange& range : slots) {
    if (!range.contains(stopped.ip())) continue;
    const uint64_t slot = range.start + (stopped.ip() - range.start) / kSlotSize * kSlotSize;
    std::array<uint8_t, kSlotCode> code{};
    if (const auto home = home_from(*memory, range, slot)) return at_home(stopped, *home);
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
      const uint64_t slot = range.start + at;
      if (!memory.read(slot, code) || is_free(code)) continue;
      if (parse_slot(code, slot) || home_from(memory, range, slot)) return true;
    }
  }
  return false;
}

}  // namespace time_chaos::tracee
