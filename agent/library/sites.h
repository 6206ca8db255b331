// Where in a vDSO function one instruction may become a jump while other threads run through it.
//
// Only bytes of a single instruction change, by one store. So a thread executes the old instruction
// or the new one, and none can stand among the bytes: no thread has to be stopped, or looked at.
// Implemented by architecture.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/vdso_image.h"

namespace time_chaos::library {

struct Site {
  uint64_t offset = 0;  // of the instruction, from the start of the image
  uint64_t length = 0;  // of the instruction
  // Code that takes back what the function did before it got here: the arguments, the stack and
  // callee-saved registers are then as at its entry.
  std::vector<uint8_t> undo;
};

// The first of them is the entry itself. Never empty for a function that can be decoded.
Result<std::vector<Site>> sites(const elf::VdsoImage& image, uint64_t entry);

// A jump through the pointer at `cell`; kUnsupported where that is too far.
Result<std::vector<uint8_t>> jump_through(uint64_t from, uint64_t cell);

}  // namespace time_chaos::library
