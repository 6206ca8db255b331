#include "agent/tracee/more_slots.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>

namespace time_chaos::tracee {
namespace {

constexpr int64_t kMmap2OfI386 = 192;  // arch/x86/entry/syscalls/syscall_32.tbl
constexpr uint64_t kPage = 4096;
// So that the kernel joins them to nothing, and code that is mapped beside them stays its own.
constexpr uint64_t kMargin = kPage;
constexpr uint64_t kLowest = uint64_t{16} << 20;

bool may_be_ours(const targets::Mapping* mapping, uint64_t start, uint64_t size) {
  return mapping != nullptr && mapping->anonymous() && mapping->perms == "r-xp" &&
         mapping->start == start && mapping->size() == size;
}

// The pages that are named in what is left of the calls that mapped them.
void add_noted(const targets::Mappings& mappings, const Memory& memory, const SlotRange& range,
               std::vector<SlotRange>* pages) {
  std::array<uint8_t, kOwnCallSize> code{};
  for (uint64_t at = 0; at + kOwnCallSize <= range.size; at += kSlotSize) {
    if (!memory.read(range.start + at, code) || !parse_own_call(code, range.start + at)) continue;
    OwnCallNote note;
    std::memcpy(&note, code.data() + kOwnCallNote, sizeof note);
    const bool known = std::any_of(pages->begin(), pages->end(),
                                   [&](const SlotRange& one) { return one.start == note.start; });
    if (known || !may_be_ours(mappings.at(note.start), note.start, note.size)) continue;
    pages->push_back({note.start, note.size});
  }
}

}  // namespace

OwnCall map_slots_call(uint64_t start, uint64_t size, bool narrow) {
  // In both the same; mmap2 counts its offset in pages.
  return {narrow ? kMmap2OfI386 : int64_t{SYS_mmap},
          {start, size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
           static_cast<uint64_t>(-1), 0}};
}

std::optional<uint64_t> place_for_slots(const targets::Mappings& mappings, uint64_t near,
                                        uint64_t size) {
  const auto& all = mappings.all();
  for (size_t i = all.size(); i-- > 0;) {
    const targets::Mapping& above = all[i];
    if (above.start > near || above.path == "[stack]") continue;
    const uint64_t below = i == 0 ? kLowest : std::max(all[i - 1].end, kLowest);
    if (above.start < below || above.start - below < size + 2 * kMargin) continue;
    return above.start - kMargin - size;
  }
  return std::nullopt;
}

SlotRange slots_of_pages(uint64_t start, uint64_t size) {
  return {start + kSlotSize, size - kSlotSize};
}

std::vector<SlotRange> find_more_pages(const targets::Mappings& mappings, const Memory& memory,
                                       std::span<const SlotRange> slots) {
  std::vector<SlotRange> pages;
  for (const targets::Mapping& mapping : mappings.all()) {
    if (!may_be_ours(&mapping, mapping.start, mapping.size())) continue;
    const auto header = memory.read_value<MoreSlotsHeader>(mapping.start);
    if (!header || header->magic != MoreSlotsHeader::kMagic || header->size != mapping.size()) {
      continue;
    }
    pages.push_back({mapping.start, mapping.size()});
  }
  const std::vector<SlotRange> marked = pages;
  for (const SlotRange& range : slots) add_noted(mappings, memory, range, &pages);
  for (const SlotRange& one : marked) {
    add_noted(mappings, memory, slots_of_pages(one.start, one.size), &pages);
  }
  return pages;
}

}  // namespace time_chaos::tracee
