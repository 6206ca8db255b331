// No EINTR because of us: some calls return it when a tracer stops them, although no signal came
// (epoll_wait, sigtimedwait, recv with SO_RCVTIMEO, signal(7)). Those are run again.
#pragma once

#include "agent/base/error.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::tracee {

// The registers as they should be when the thread goes on: rewound to the call if it was
// interrupted by our stop alone. A signal that waits for the thread keeps its EINTR. A wait for an
// absolute time begins anew (waits_anew.h), so that whoever maps deadlines sees it.
Registers without_our_eintr(const SeizedThread& stopped, const Registers& registers);

// The same, written back. For threads that are stopped and let go again unchanged.
Status undo_our_eintr(SeizedThread& stopped);

}  // namespace time_chaos::tracee
