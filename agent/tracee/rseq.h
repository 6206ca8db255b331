// Restartable sequences (rseq(2)): a thread that is taken out of a critical section must go on at
// the section's abort handler, as after any preemption.
#pragma once

#include "agent/base/error.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/registers.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::tracee {

// Moves the instruction pointer to the abort handler if it stands inside a critical section.
// Nothing to do where the kernel cannot tell (PTRACE_GET_RSEQ_CONFIGURATION is of 5.13).
void leave_critical_section(const SeizedThread& stopped, const Memory& memory,
                            Registers& registers);

}  // namespace time_chaos::tracee
