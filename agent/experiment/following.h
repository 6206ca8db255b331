// The system call side of a running experiment: the ptrace engine on targets that are shifted.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/course.h"
#include "agent/experiment/followed_page.h"
#include "agent/syscalls/ptrace_engine.h"

namespace time_chaos::experiment {

struct Following {
  std::unique_ptr<syscalls::PtraceEngine> engine;
  // One a target, as long as the engine follows anybody because of it.
  std::map<pid_t, std::weak_ptr<FollowedPage>> pages;

  // Lets go of all. First their clocks go back, so that no wait that begins anew with its real end
  // is over before its clock shows that.
  void stop() const;
  // The leases of all targets, wherever their pages are by now.
  void renew(std::optional<std::chrono::nanoseconds> lease, const clock::Programs& programs) const;
};

// Follows all threads of `pids`, whose clock pages say by how much, and of the children that they
// have forked since they were shifted; calls from inside a detoured vDSO are left to the detour.
// Without `children`, children get their own clock back as they are born.
Result<Following> follow(const std::vector<pid_t>& pids, bool children);
// One more.
Status follow_too(Following& following, pid_t pid, bool children);

}  // namespace time_chaos::experiment
