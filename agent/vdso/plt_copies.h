// PLT mode, before our pages go: a slot that holds a function's address for the program to take
// (rather than to jump through) may have been copied, into an object, into a register that a loop
// keeps it in. Such a copy leads to our code for as long as it exists.
#pragma once

#include <sys/types.h>

#include "agent/base/error.h"
#include "agent/tracee/memory.h"
#include "agent/vdso/plt_slots.h"

namespace time_chaos::vdso {

// kFailed, saying where one is, or why that cannot be told. Looks only where a slot was of that
// kind. All threads are stopped meanwhile. Inside tracee::in_session().
Status check_no_copies(pid_t pid, const tracee::Memory& memory, const PltPlace& place);

}  // namespace time_chaos::vdso
