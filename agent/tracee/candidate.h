// Which thread of a target is interrupted when any one will do.
#pragma once

#include <sys/types.h>

#include <vector>

#include "agent/base/error.h"

namespace time_chaos::tracee {

// Thread ids, best first: running in user mode; asleep in a call that goes on by itself
// (nanosleep, poll, futex); in another restartable call; last those in calls that know only EINTR
// (epoll_wait, sigtimedwait...), which would begin their timeout anew. Never threads that cannot be
// stopped now (uninterruptible, ended, traced). Looks at 64 threads at most. kFailed, with a
// remedy, when there is none.
Result<std::vector<pid_t>> candidates(pid_t pid);

}  // namespace time_chaos::tracee
