// A new program whose vDSO is hidden from it: the kernel names the vDSO's address in the auxiliary
// vector on the new stack, and where that entry says AT_IGNORE instead, every C library and every
// runtime makes system calls, as it does on a kernel without a vDSO.
//
// The entry's value, which nobody looks at any more, carries a mark: whose descendant it is.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "agent/base/error.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/registers.h"

namespace time_chaos::tracee {

// `registers` are those of a thread whose exec has just succeeded (PTRACE_EVENT_EXEC), before the
// new program's first instruction; `memory` is the new program's. Checked by reading it back. False
// where the kernel gave it no vDSO. `target`: goes into the mark.
Result<bool> hide_vdso(Memory& memory, const Registers& registers, pid_t target);

// The mark in the auxiliary vector at `stack`, which is where the stack began (field 28 of
// /proc/PID/stat); nothing if there is none. Inherited by forked children.
std::optional<pid_t> read_mark(const Memory& memory, uint64_t stack);

}  // namespace time_chaos::tracee
