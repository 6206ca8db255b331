// Undo: a target gets its own clock back, and its own bytes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/clock/map_plan.h"
#include "agent/vdso/find.h"

namespace time_chaos::vdso {

struct RecoverReport {
  std::chrono::nanoseconds stopped{0};
  std::optional<std::chrono::nanoseconds> world_stopped;
  // Monotonic clocks that stay ahead: the detour stays, with their maps alone.
  clock::ClockSet kept;
  bool bytes_restored = false;  // checked by reading them back
  bool unmapped = false;        // nothing of ours is mapped any more, checked
  std::string still_mapped_because;
};

// Undoes what was found, whatever state it is in. kFailed when another agent has begun an
// experiment since: that one is not undone. `suspend_seccomp`: --force.
Result<RecoverReport> recover(pid_t pid, const Found& found, bool suspend_seccomp);

}  // namespace time_chaos::vdso
