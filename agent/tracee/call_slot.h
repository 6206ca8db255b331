// How one argument of a system call is replaced for the time of that call, so that the thread gets
// its own back whatever happens to the agent.
//
// Programs rely on a system call to leave its arguments' registers alone, and a wait may last for
// hours: an agent that is killed meanwhile must not leave another pointer in one. So the call is
// made to return, not to where it was made, but into a slot: a few instructions that put the
// argument back and jump to where the call was made, written for this very call. As long as the
// agent lives nobody runs them: at the exit of the call, before a signal handler or the program can
// see anything, the agent puts both registers back itself. An agent that is killed leaves a thread
// that cures itself when its wait is over. When a signal interrupts that wait, the call is repeated
// by the slot's own system call instruction, with what the slot holds.
//
// What the argument points at stands in the slot as well, so that it does not depend on the stack
// or on memory that is the program's. A slot is used by one thread at a time.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "agent/tracee/memory.h"
#include "agent/tracee/registers.h"

namespace time_chaos::tracee {

inline constexpr uint64_t kSlotCode = 24;  // then what is pointed at
inline constexpr uint64_t kSlotSize = kSlotCode + 16;

// Executable memory of the target that is ours.
struct SlotRange {
  uint64_t start = 0;
  uint64_t size = 0;
  [[nodiscard]] bool contains(uint64_t address) const {
    return address >= start && address - start < size;
  }
};

// What a slot puts back.
struct ReplacedArgument {
  int index = 0;
  uint64_t value = 0;
  uint64_t ip = 0;      // behind the instruction that made the call
  bool narrow = false;  // a call of 32-bit code
};

std::array<uint8_t, kSlotCode> slot_code(const ReplacedArgument& replaced, uint64_t slot);
// The reverse; nothing if it is no such code.
std::optional<ReplacedArgument> parse_slot(std::span<const uint8_t> code, uint64_t slot);

// The registers of a thread at the entry of its call, with the argument replaced by `given`:
// usually the address of what stands in the slot behind its code.
Registers through_slot(const Registers& entry, const ReplacedArgument& replaced, uint64_t slot,
                       uint64_t given);
// Wherever in the slot the thread stands: as if there were none.
Registers put_back(const Registers& stopped, const ReplacedArgument& replaced, uint64_t slot);

// The same for a thread of which nothing is known, by the code in which it stands. Unchanged if
// that is no slot's.
Registers without_slot(pid_t pid, const Registers& stopped, std::span<const SlotRange> slots);

// What stands in a slot is as it was mapped: nothing, or breakpoints.
bool is_free(std::span<const uint8_t> code);
// Or it is some call's. If not, the program has something of its own in that place by now.
bool is_free_or_old(std::span<const uint8_t> code, uint64_t slot);

// Code of some call stands in one of these slots.
bool any_in_use(const Memory& memory, std::span<const SlotRange> slots);

}  // namespace time_chaos::tracee
