// Undo: a target gets its own clock back, and its own bytes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "agent/base/error.h"
#include "agent/clock/map_plan.h"
#include "agent/vdso/clock_page.h"
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
  std::string fake;        // the library of the user's that was asked; empty: none
  std::string fake_stays;  // why it is still loaded, although nobody asks it; empty: it is not
};

// Undoes what was found, whatever state it is in. kFailed when another agent has begun an
// experiment since: that one is not undone. `suspend_seccomp`: --force. `twin`: of its clock page.
Result<RecoverReport> recover(pid_t pid, const Found& found, bool suspend_seccomp,
                              std::shared_ptr<ClockPage> twin = {});

// The page's clocks show real time again, in one instant; but for monotonic clocks that are ahead,
// which are returned.
Result<clock::ClockSet> put_clocks_back(ClockPage& page);

}  // namespace time_chaos::vdso
