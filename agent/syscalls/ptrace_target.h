// What the ptrace engine has to know of a target.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/map_plan.h"
#include "agent/tracee/call_slot.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::syscalls {

struct PtraceTarget {
  pid_t pid = 0;
  // Calls whose instruction pointer lies in [start, end) are left alone: the detour of that vDSO
  // shifts what they return, and shifts it once. 0, 0: there is no detour.
  uint64_t vdso_start = 0;
  uint64_t vdso_end = 0;
  // Where its calls may return through, so that their deadlines can be mapped. None: they are real.
  std::vector<tracee::SlotRange> slots = {};
  // The maps in force; asked by the tracer's thread at every call that may have to be shifted.
  std::function<Result<clock::ClockMaps>()> maps;
  // If there is one, children are not followed: each is given back its own clock by this, before
  // its first instruction, and let go.
  std::function<Status(tracee::SeizedThread& child)> release = {};
};

}  // namespace time_chaos::syscalls
