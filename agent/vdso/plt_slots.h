// PLT mode, doing: GOT slots are led to our functions, and back.
//
// All threads are stopped for the few stores. For those that lead a slot to us the loader must not
// be in the middle of a change: so no library can be unloaded, and something else mapped in its
// place, between our look at a slot and our store. Those that put a slot back need not know what is
// loaded: only where our function's address still stands is anything written. A slot's record is in
// the target before the slot is changed; so whoever kills the agent at any moment, the next agent
// can put back what was changed.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/tracee/memory.h"
#include "agent/vdso/plt_table.h"

namespace time_chaos::vdso {

struct SlotRun {
  size_t changed = 0;
  std::optional<std::chrono::nanoseconds> world_stopped;
};

// Until a look finds nothing more to change: a thread may just be binding a slot anew. Inside
// tracee::in_session().
Result<SlotRun> lead_slots(pid_t pid, tracee::Memory& memory, const PltPlace& place,
                           const std::vector<std::string>& modules);

// Every slot that still leads to our functions gets its own value back; the table stays active.
// Whatever the loader is at: a child that was forked in the middle of another thread's dlopen is
// there for ever. Inside tracee::in_session().
Result<SlotRun> restore_slots(pid_t pid, tracee::Memory& memory, const PltPlace& place);

}  // namespace time_chaos::vdso
