// The result of one clock call, at its exit, replaced by what the target's map shows.
#pragma once

#include "agent/base/error.h"
#include "agent/syscalls/followed.h"
#include "agent/tracee/registers.h"

namespace time_chaos::syscalls {

// `thread` stands at the exit of a system call of `arch` (AUDIT_ARCH_*) with these registers. True
// if the result was changed; false if there was nothing to change: another call, a call that
// failed, a clock without a map, a map that shows real time. An error leaves the host's reading.
Result<bool> shift_call(FollowedThread& thread, const tracee::Registers& registers, uint32_t arch);

// Which clock such a call reads; -1: none.
int clock_read_by(const tracee::Registers& registers, uint32_t arch);

// What the host's clock read, to the nanosecond as far as that can be known, when time(2) returned
// `seconds`; `coarse` is CLOCK_REALTIME_COARSE somewhat later. time(2) returns that clock's seconds
// (ktime_get_real_seconds, kernel/time/timekeeping.c), so a map with a fraction of a second must be
// applied to a reading of it, not to a whole second, for time() and clock_gettime() to agree.
clock::Reading reading_behind_time(int64_t seconds, clock::Reading coarse);

}  // namespace time_chaos::syscalls
