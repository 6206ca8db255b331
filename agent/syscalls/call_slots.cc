#include "agent/syscalls/call_slots.h"

#include <algorithm>
#include <array>
#include <utility>

#include "agent/targets/mappings.h"

namespace time_chaos::syscalls {

using tracee::kSlotCode;
using tracee::kSlotSize;

namespace {

constexpr size_t kOwnCallSlots = tracee::kOwnCallSize / kSlotSize;

}  // namespace

CallSlots::CallSlots(std::vector<tracee::SlotRange> ranges) : ranges_(std::move(ranges)) {
  for (const tracee::SlotRange& range : ranges_) append(range);
  keep_own_call();
}

void CallSlots::append(const tracee::SlotRange& range) {
  for (uint64_t at = 0; at + kSlotSize <= range.size; at += kSlotSize) {
    slots_.push_back({range.start + at, false});
  }
}

void CallSlots::keep_own_call() {
  own_call_ = take_adjacent(kOwnCallSlots);
}

std::optional<uint64_t> CallSlots::own_call() const {
  if (!own_call_) return std::nullopt;
  return slots_[*own_call_].address;
}

void CallSlots::add(const tracee::SlotRange& range) {
  ranges_.push_back(range);
  append(range);
}

CallSlots::Lease& CallSlots::Lease::operator=(Lease&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  slots_ = std::move(other.slots_);
  index_ = other.index_;
  count_ = other.count_;
  return *this;
}

void CallSlots::Lease::give_back() {
  if (!slots_) return;
  for (size_t i = index_; i < index_ + count_; i++) slots_->slots_[i].taken = false;
  slots_.reset();
}

std::optional<CallSlots::Lease> CallSlots::take(size_t data) {
  const size_t count = (kSlotCode + data + kSlotSize - 1) / kSlotSize;
  const auto first = take_adjacent(count);
  if (!first) return std::nullopt;
  return Lease(shared_from_this(), *first, count);
}

std::optional<size_t> CallSlots::take_adjacent(size_t count) {
  for (size_t first = 0; first + count <= slots_.size(); first++) {
    // Side by side: two ranges may follow each other in the list only.
    const bool adjacent =
        slots_[first + count - 1].address - slots_[first].address == (count - 1) * kSlotSize;
    const auto begin = slots_.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = begin + static_cast<std::ptrdiff_t>(count);
    if (!adjacent || std::any_of(begin, end, [](const Slot& s) { return s.taken; })) continue;
    std::for_each(begin, end, [](Slot& slot) { slot.taken = true; });
    return first;
  }
  return std::nullopt;
}

void CallSlots::pass_over_used(const tracee::Memory& memory) {
  if (own_call_) {
    for (size_t i = 0; i < kOwnCallSlots; i++) slots_[*own_call_ + i].taken = false;
  }
  for (Slot& slot : slots_) {
    std::array<uint8_t, kSlotSize> bytes{};
    const auto read = memory.read(slot.address, bytes);
    if (!read || !tracee::is_free(bytes)) slot.taken = true;
  }
  keep_own_call();
}

bool CallSlots::contains(uint64_t address) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [address](const auto& range) { return range.contains(address); });
}

std::vector<tracee::SlotRange> slots_behind_vdso(pid_t pid) {
  const auto mappings = targets::Mappings::read(pid);
  const targets::Mapping* vdso = mappings ? mappings->find("[vdso]") : nullptr;
  const auto memory = tracee::Memory::open(pid);
  if (vdso == nullptr || !memory) return {};
  const auto bytes = memory->read(vdso->start, vdso->size());
  if (!bytes) return {};
  // The last fields of an image may be zero, too: a section header has 64 bytes.
  constexpr uint64_t kMargin = 64;
  const auto last = std::find_if(bytes->rbegin(), bytes->rend(), [](uint8_t b) { return b != 0; });
  const auto used = static_cast<uint64_t>(bytes->rend() - last);
  const uint64_t start = (used + kMargin + kMargin - 1) / kMargin * kMargin;
  if (start + kSlotSize > vdso->size()) return {};
  return {{vdso->start + start, vdso->size() - start}};
}

}  // namespace time_chaos::syscalls
