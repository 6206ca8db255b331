// What a target reads now, checked: nothing is reported that was not seen.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/map_plan.h"
#include "agent/experiment/bpf_place.h"
#include "agent/vdso/find.h"

namespace time_chaos::experiment {

struct Checked {
  std::string engine;     // "vdso", "syscall"
  clock::Reading target;  // CLOCK_REALTIME, or the first clock of the experiment
  clock::Reading host;
  int clock = 0;
  std::chrono::nanoseconds offset{0};  // target - host
};

// Runs the target's own bytes (its vDSO, payload and clock page as they are now) and compares what
// every clock of them reads with the maps. kFailed, naming the clock, when one is off.
Result<Checked> check_vdso(pid_t pid, const vdso::Found& found);

// What a library of the user's made of the time, once, when it was loaded.
Checked seen_at_load(const std::string& library, const vdso::Loaded& loaded);

// What check_vdso() does, for the system calls of the targets that stand at that place: makes them.
Result<Checked> check_syscalls(const BpfPlace& place);

// After recovery: the vDSO's functions read as the kernel made them, and nothing of ours is left.
Result<Checked> check_recovered(pid_t pid);

}  // namespace time_chaos::experiment
