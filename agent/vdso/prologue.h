// The first instructions of a vDSO function: may they be overwritten, and may they run elsewhere?
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/vdso_image.h"

namespace time_chaos::vdso {

// A jump (0xE9 rel32) is five bytes.
inline constexpr uint64_t kJumpSize = 5;

// Whole instructions from the entry on, at least as many bytes as were asked for, that do the same
// at any address: nothing relative to rip, no branch, call, return or system call.
struct Prologue {
  std::vector<uint8_t> bytes;
  // Offsets at which an instruction begins: 0, then those inside `bytes`. A program counter at
  // entry + b may be moved to copy + b.
  std::vector<uint32_t> boundaries;
};

// kUnsupported, naming the instruction, when the prologue of the function at `offset` cannot be
// relocated.
Result<Prologue> read_prologue(const elf::VdsoImage& image, uint64_t offset,
                               uint64_t at_least = kJumpSize);

// No instruction of the image's code branches into (offset, offset + kJumpSize): kUnsupported
// otherwise, naming the branch. The code is decoded from every function symbol and linearly.
Status check_no_branch_into(const elf::VdsoImage& image, uint64_t offset);

}  // namespace time_chaos::vdso
