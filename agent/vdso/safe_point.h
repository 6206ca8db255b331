// The moment at which a thread of a target may be made to call its loader.
//
// dlopen and dlclose take the loader's locks and the allocator's, and change what both keep. A
// thread that holds such a lock, or stands in the middle of such a change, must not begin another.
// (What other threads hold does no harm: they run on meanwhile, and it is waited for, as ever.) So
// that thread is taken of which this is known, while all are stopped to look at them:
//
// - It waits in a call in which neither a loader nor an allocator waits (poll, accept, a
// condition...),
//   made by other code than the loader's. Both make calls, but not these. So what called it is code
//   of the program, which could have called dlopen itself in that place, be it even a constructor
//   of a library that is just being loaded: locks of loaders can be taken again by their owners for
//   that.
// - No signal handler that it is in has interrupted the C library, its loader or an allocator: in a
//   handler dlopen may not be called, because of them.
// - Where malloc is another library's: some of those have threads of their own, which wait for a
//   condition, and some sleep until a lock is free. So in such waits no word near the top of the
//   thread's stack leads there. Where malloc is the program's own, whose code cannot be told from
//   its other code, such waits do not count.
// - It has thread-local memory of its own: no other thread has the same (a bare clone).
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>

#include "agent/base/error.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/registers.h"
#include "agent/tracee/seized_thread.h"
#include "agent/vdso/loader.h"

namespace time_chaos::vdso {

enum class Wait {
  kEvent,      // poll, select, epoll_wait, accept, wait4, sigsuspend, ...
  kRead,       // also a loader reads; glibc's has a read of its own
  kSleep,      // nanosleep: allocators that spin do so, too
  kCondition,  // a futex as glibc's conditions and semaphores wait, and its locks do not
};
// In which the thread was interrupted; nothing: in none of these. `call`, `argument`: of the call.
std::optional<Wait> wait_of(int64_t call, uint64_t second_argument);

// Whether a thread may call its loader that waits like that.
bool is_harmless(Wait wait, const Loader& loader);

struct SafePoint {
  tracee::SeizedThread thread;    // stopped
  tracee::Registers interrupted;  // as it was stopped
  tracee::Registers registers;    // to go on with: no EINTR because of us
};

// Tries for some seconds. kUnsupported, saying what is in the way, where no thread gets to such a
// point. `accept`: the last look at a thread that would do; an error is an answer, too. Inside
// tracee::in_session().
Result<SafePoint> find_safe_point(pid_t pid, const tracee::Memory& memory, const Loader& loader,
                                  const std::function<Status(tracee::SeizedThread&)>& accept);

}  // namespace time_chaos::vdso
