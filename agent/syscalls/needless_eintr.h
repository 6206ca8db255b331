// No EINTR because a thread is traced. Two causes:
//  - our interruption, at start and at stop (agent/tracee/eintr.h);
//  - a signal that the process ignores: untraced, the kernel drops it when it is sent; traced, it
//    is kept for the tracer to see, and wakes a thread (sig_ignored, kernel/signal.c), perhaps
//    one, and is then taken by another.
// In both, calls that the kernel does not restart by itself would return an EINTR that the program
// cannot know.
#pragma once

#include "agent/base/error.h"
#include "agent/targets/process.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::syscalls {

// Bit (n - 1): signal n runs no handler, stops nothing and ends nothing. As in ProcStatus.
uint64_t ignored_signals(const targets::ProcStatus& status);

// The process has a handler for it. True also where that is not known.
bool runs_handler(const tracee::SeizedThread& stopped, int signal);

// The stopped thread makes its call again if it was interrupted for nothing, that is: if no signal
// but ignored ones waits for it. The caller knows that no other signal was just taken.
Status undo_needless_eintr(tracee::SeizedThread& stopped);

// For a thread that is about to be given `signal`: the same, if that signal is ignored.
Status undo_eintr_of_ignored(tracee::SeizedThread& stopped, int signal);

}  // namespace time_chaos::syscalls
