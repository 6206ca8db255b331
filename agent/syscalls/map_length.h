// A wait for a length of time, where a second of its clock is not a second: the kernel is given the
// length after which the target's clock will have gone on by as much as the program asked for.
//
// A wait that is interrupted and made again, because the clocks have changed or a signal that
// nobody handles came, ends when it would have ended: not later by what it has waited already.
#pragma once

#include <optional>

#include "agent/base/error.h"
#include "agent/clock/clock_maps.h"
#include "agent/syscalls/followed.h"
#include "agent/tracee/following.h"
#include "agent/tracee/wait_lengths.h"

namespace time_chaos::syscalls {

// As map_wait(), which calls it. `before`: the wait that was interrupted.
Result<bool> map_length(FollowedThread& thread, const tracee::SyscallStop& entry,
                        const tracee::LengthCall& call,
                        const std::optional<FollowedThread::LengthWait>& before);

// The interval at the beginning of a timer's setting. `step`: nanoseconds of one step of its
// fractions.
void map_interval(const clock::ClockMaps& maps, int clock, uint8_t* bytes, bool narrow, bool compat,
                  int64_t step);

// At the exit of the call, with its own arguments in place: what is left is written where the
// program looks for it.
Status end_length(FollowedThread& thread, bool leaving);

// What a call that has succeeded reports of timers and of sockets is in the target's time.
Status report_length(FollowedThread& thread, uint32_t arch);

}  // namespace time_chaos::syscalls
