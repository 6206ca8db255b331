// Machine code that leads from a vDSO entry to the payload. Implemented by architecture.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/vdso/prologue.h"

namespace time_chaos::vdso {

// The first byte of a jump: alone, over the first byte of an instruction, it makes a jump of the
// bytes that follow ("instruction punning").
inline constexpr uint64_t kPunLength = 1;

// Where execution lands when only the first byte of `entry_bytes` becomes a jump.
uint64_t punned_target(uint64_t entry, std::span<const uint8_t> entry_bytes);
// What stands at the entry then.
std::vector<uint8_t> punned_entry(std::span<const uint8_t> entry_bytes);

// A jump from `from` to `to`, kJumpSize bytes; nothing when it is too far.
std::optional<std::vector<uint8_t>> near_jump(uint64_t from, uint64_t to);

// A jump to anywhere, for landing pads.
inline constexpr uint64_t kPadSize = 14;
std::vector<uint8_t> pad_jump(uint64_t from, uint64_t to);

// The prologue, to run at `at`, followed by a jump to the rest of the function at `entry`.
Result<std::vector<uint8_t>> relocated(const Prologue& prologue, uint64_t entry, uint64_t at);

// True where the processor is emulated by one that can go on running what it had begun to translate
// when a byte of it changed (QEMU's TCG; seen). Real ones never do: Intel SDM 3A, 12.6.
bool may_run_stale_code();

}  // namespace time_chaos::vdso
