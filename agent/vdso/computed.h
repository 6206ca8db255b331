// What a target's vDSO functions must return, computed: for machines on which no mirror of it can
// be run. Every byte that matters is compared with what the agent would have written.
#pragma once

#include <sys/types.h>

#include "agent/base/error.h"
#include "agent/vdso/find.h"
#include "agent/vdso/mirror.h"

namespace time_chaos::vdso {

// Of a process in State::kShifted. kFailed, saying what differs, when entries, landing pads or the
// code page are not as written.
Result<Mirror> compute_mirror(pid_t pid, const Found& found);

// Of a process that carries nothing of ours: its vDSO must be the same as this process's.
Result<Mirror> compute_unshifted_mirror(pid_t pid);

}  // namespace time_chaos::vdso
