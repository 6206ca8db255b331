// No harm to the host: a process whose clocks are shifted must not set the machine's from them.
#pragma once

#include "agent/base/error.h"
#include "agent/syscalls/followed.h"
#include "agent/tracee/following.h"

namespace time_chaos::syscalls {

// `thread` stands at the entry of this system call. One that would set a clock (clock_settime,
// settimeofday, stime; adjtimex and clock_adjtime that do more than read) is not executed and will
// return -EPERM; true then. To be followed by finish_refused_call() at its exit.
Result<bool> refuse_setting(FollowedThread& thread, const tracee::SyscallStop& entry);

// At the exit of a call: if it was refused, its result and its arguments are put right.
Status finish_refused_call(FollowedThread& thread);

}  // namespace time_chaos::syscalls
