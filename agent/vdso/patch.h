// Writes the jumps into the vDSO's entries, and the original bytes back.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/payload/layout.h"
#include "agent/tracee/memory.h"

namespace time_chaos::vdso {

// What a thread does that stands inside the bytes which a whole jump overwrites.
struct Move {
  uint64_t entry = 0;
  std::vector<uint32_t> boundaries;  // offsets at which it can stand
  uint64_t copy = 0;                 // where the same instructions run; 0: nowhere
};

struct PatchRun {
  std::optional<std::chrono::nanoseconds> world_stopped;
};

// One byte at a time, with nobody stopped, where the record says one byte; five bytes with all
// threads stopped, once none of them stands, or will return, between the first byte and the last.
// An entry that reads neither `original` nor `patched` is left alone, and is an error.
Result<PatchRun> write_jumps(pid_t pid, tracee::Memory& memory,
                             const std::vector<payload::PatchRecord>& patches,
                             const std::vector<Move>& moves);
Result<PatchRun> restore_bytes(pid_t pid, tracee::Memory& memory,
                               const std::vector<payload::PatchRecord>& patches);

}  // namespace time_chaos::vdso
