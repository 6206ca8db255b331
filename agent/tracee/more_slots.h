// Room for more slots (call_slot.h) than a process has of its own: pages that one of its threads
// maps. Where they go, and how they are found by whoever comes later.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/targets/mappings.h"
#include "agent/tracee/call_slot.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/own_call.h"

namespace time_chaos::tracee {

// At the beginning of such pages; slots follow behind the first slot's worth of bytes.
struct MoreSlotsHeader {
  uint64_t magic = kMagic;
  uint64_t size = 0;                                      // of all
  static constexpr uint64_t kMagic = 0x73746f6c732d6374;  // "tc-slots"
};
static_assert(sizeof(MoreSlotsHeader) <= kSlotSize);

// The mapping call by which a thread gets them, at exactly that place.
OwnCall map_slots_call(uint64_t start, uint64_t size, bool narrow);

// A place for `size` bytes below `near`, apart from everything else, and not where a stack grows.
std::optional<uint64_t> place_for_slots(const targets::Mappings& mappings, uint64_t near,
                                        uint64_t size);

// The slots in such pages.
SlotRange slots_of_pages(uint64_t start, uint64_t size);

// All such pages that are mapped. `slots`: where the call that mapped some may be noted, of an
// agent that was killed before it could mark them. Their sizes are those of the mappings.
std::vector<SlotRange> find_more_pages(const targets::Mappings& mappings, const Memory& memory,
                                       std::span<const SlotRange> slots);

}  // namespace time_chaos::tracee
