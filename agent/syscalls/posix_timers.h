// POSIX timers that are set to an absolute time, while the ptrace engine follows their process.
// Nobody can reach one from outside, so one of the process's threads sets it anew, by a call of
// ours that it makes when it comes by the entry of a call of its own (own_calls.h).
//
// One that has expired, or is just about to, is left alone: it must not send a second signal.
#pragma once

#include <functional>

#include "agent/clock/clock_maps.h"
#include "agent/syscalls/followed.h"
#include "agent/tracee/following.h"

namespace time_chaos::syscalls {

// The maps of a process have changed: which of its timers are to be set anew.
void mark_timers(FollowedProcess& process, const clock::ClockMaps& before,
                 const clock::ClockMaps& now);
bool any_anew(const FollowedProcess& process);

// `thread` stands at the entry of this call. True: it has set a timer first, and is about to make
// the call again. `busy`: the program itself is about to change that timer. After an error the
// thread is as it was, and its timers keep the ends that they have.
Result<bool> set_timer_anew(FollowedThread& thread, const tracee::SyscallStop& entry,
                            const std::function<bool(int)>& busy);

// At the exit of the call that has set it, where it took so long that nobody waited for it.
Status end_timer_call(FollowedThread& thread);

}  // namespace time_chaos::syscalls
