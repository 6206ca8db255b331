// When the slots of a process run out, a thread that is about to wait maps room for more first.
#pragma once

#include "agent/base/error.h"
#include "agent/syscalls/followed.h"
#include "agent/tracee/registers.h"

namespace time_chaos::syscalls {

// `thread` stands at the entry of a call, of 32 bits if it is `narrow`. After success it is about
// to make that call again. An error leaves it at the entry; nothing was changed.
Status map_more_slots(FollowedThread& thread, const tracee::Registers& entry, bool narrow);

// At the exit of the mapping call, where it took so long that nobody waited for it: likewise.
Status end_mapping(FollowedThread& thread);

}  // namespace time_chaos::syscalls
