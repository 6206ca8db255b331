// Waits in flight begin anew, as Linux re-arms waits on CLOCK_REALTIME when that clock is set: the
// call is made again with the arguments that the program gave it, and an engine that maps deadlines
// maps this one by the maps that are in force now.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

#include "agent/base/error.h"
#include "agent/tracee/call_slot.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::tracee {

// The thread stands in a stop at which a call of it was interrupted. What the kernel would go on
// with by itself, with the end that it knows (restart_syscall(2)), begins anew instead if it waits
// for an absolute time. All others are as they were: those are made again anyway, or wait for a
// length of time. A signal that is to be delivered ends the call as before. Not written.
// `resumed`: resumed_futex() was true before the stop.
Registers waiting_anew(const Registers& stopped, bool resumed = false);

// The thread, which is not stopped, waits in a futex call that was interrupted before (by SIGSTOP,
// a freezer, a debugger) and goes on by restart_syscall(2): its registers do not tell any more
// which call it was. False for 32-bit calls, of which there are two kinds.
bool resumed_futex(pid_t pid, pid_t tid);

// All threads of a process that nobody traces: those that wait for an absolute time are stopped one
// by one, begin anew, and are let go; no EINTR comes of it. `slots`: where a call with a replaced
// argument (call_slot.h) may stand that an agent, killed since, has left; it gets its own argument
// back. Returns how many waits began anew.
Result<size_t> begin_waits_anew(pid_t pid, std::span<const SlotRange> slots = {});

}  // namespace time_chaos::tracee
