// The slots of one address space through which calls with a replaced argument return
// (agent/tracee/call_slot.h): which are free.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent/tracee/call_slot.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/own_call.h"

namespace time_chaos::syscalls {

class CallSlots : public std::enable_shared_from_this<CallSlots> {
 public:
  explicit CallSlots(std::vector<tracee::SlotRange> ranges);

  // For the time of a call; given back by its destructor, in this table only: what stands in the
  // target's memory is to be wiped before.
  class Lease {
   public:
    Lease(std::shared_ptr<CallSlots> slots, size_t index, size_t count)
        : slots_(std::move(slots)), index_(index), count_(count) {}
    Lease(Lease&&) noexcept = default;
    Lease& operator=(Lease&& other) noexcept;
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { give_back(); }
    [[nodiscard]] uint64_t address() const { return slots_->slots_[index_].address; }
    [[nodiscard]] uint64_t size() const { return count_ * tracee::kSlotSize; }
    // Nobody gets it any more: what stands there is not ours.
    void keep() { slots_.reset(); }

   private:
    void give_back();
    std::shared_ptr<CallSlots> slots_;  // null: moved from
    size_t index_;
    size_t count_;
  };

  // With room for `data` bytes behind the code. Nothing when all are in use.
  std::optional<Lease> take(size_t data);
  // Room that is kept for a call of ours (agent/tracee/own_call.h); nothing where there is none.
  [[nodiscard]] std::optional<uint64_t> own_call() const;
  // It is being made.
  [[nodiscard]] bool calling() const { return calling_; }
  void set_calling(bool now) { calling_ = now; }
  void add(const tracee::SlotRange& range);
  [[nodiscard]] bool may_grow() const { return may_grow_; }
  void no_more() { may_grow_ = false; }
  // Those that are in use in the memory already, by threads that an agent has left in them, are
  // never taken.
  void pass_over_used(const tracee::Memory& memory);

  [[nodiscard]] const std::vector<tracee::SlotRange>& ranges() const { return ranges_; }
  [[nodiscard]] bool contains(uint64_t address) const;

 private:
  struct Slot {
    uint64_t address = 0;
    bool taken = false;
  };
  void append(const tracee::SlotRange& range);
  std::optional<size_t> take_adjacent(size_t count);
  void keep_own_call();
  std::vector<tracee::SlotRange> ranges_;
  std::vector<Slot> slots_;
  std::optional<size_t> own_call_;  // the first of those that are kept
  bool may_grow_ = true;
  bool calling_ = false;
};

// The zero bytes at the end of the vDSO of an executed program, which is hidden from it: no engine
// of ours uses them otherwise. None where it has none.
std::vector<tracee::SlotRange> slots_behind_vdso(pid_t pid);

}  // namespace time_chaos::syscalls
