// A wait for an absolute time of a shifted clock: the kernel is given the real time at which the
// target's clock will show it.
//
// Neither the caller's memory nor, beyond the call, its registers are changed. Another thread may
// read the same struct timespec, which may be read-only, and an agent that is killed in the middle
// of the wait would leave a changed deadline there; so it is a copy that is changed, in a slot that
// puts the argument back by itself (agent/tracee/call_slot.h).
//
// Zero, which disarms a timer, and times that the kernel refuses stay as they are. Waits for a
// length of time are in map_length.h.
#pragma once

#include "agent/base/error.h"
#include "agent/syscalls/followed.h"
#include "agent/tracee/following.h"

namespace time_chaos::syscalls {

// `thread` stands at the entry of this system call. True if its deadline was mapped; false where
// there is none, or the target's clock is the real one. An error leaves a real deadline. To be
// followed by end_mapped_wait().
Result<bool> map_wait(FollowedThread& thread, const tracee::SyscallStop& entry);

// At the exit of a call: if its deadline was mapped, its argument and its return address are put
// back. Before anything else looks at the registers.
// `leaving`: the thread is about to be let go.
Status end_mapped_wait(FollowedThread& thread, bool leaving);

// Then, when what the call reports of the timer's setting before has been dealt with: how it is set
// from now on, if the call has succeeded.
void note_timer(FollowedThread& thread, int64_t result);

// At another stop, of a thread that an agent, killed since, has left in a slot: likewise. And a
// wait that was interrupted begins anew (agent/tracee/waits_anew.h).
Status settle_wait(FollowedThread& thread);

}  // namespace time_chaos::syscalls
