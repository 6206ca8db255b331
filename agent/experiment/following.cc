#include "agent/experiment/following.h"

#include <fmt/format.h>

#include <utility>

#include "agent/vdso/find.h"

namespace time_chaos::experiment {
namespace {

// A forked child, before its first instruction: one thread, and no return address into the bytes
// that change, because its parent made a system call. Its pages stay mapped, and do nothing.
Status give_clock_back(tracee::SeizedThread& child) {
  TC_TRY(const auto found, vdso::find_experiment(child.pid()));
  if (!found || found->state != vdso::State::kShifted) return {};
  TC_TRY(tracee::Memory memory, tracee::Memory::open(child.pid()));
  memory.poke_through(child);
  for (const payload::PatchRecord& patch : found->patches()) {
    TC_CHECK(memory.write(patch.entry, {patch.original, patch.length}));
  }
  return {};
}

Result<syscalls::PtraceTarget> target_of(pid_t pid, const vdso::Found& found,
                                         std::shared_ptr<FollowedPage> page, bool children) {
  syscalls::PtraceTarget target;
  target.pid = pid;
  target.maps = [page = std::move(page)] { return page->maps(); };
  target.sharers = [identity = found.page_identity] { return vdso::sharers(identity); };
  if (!children) target.release = give_clock_back;
  if (found.record.patch_count != 0) {
    target.vdso_start = found.record.vdso;
    target.vdso_end = found.record.vdso + found.record.vdso_size;
  }
  return target;
}

}  // namespace

void Following::renew(std::chrono::nanoseconds lease) const {
  for (const auto& page : pages) (void)page->renew(lease);
}

Result<Following> follow(const std::vector<pid_t>& pids, bool children) {
  Following following;
  std::vector<syscalls::PtraceTarget> targets;
  for (const pid_t pid : pids) {
    TC_TRY(const auto found, vdso::find_experiment(pid));
    if (!found) return fail(Exit::kNoTarget, fmt::format("{} carries no experiment", pid));
    TC_TRY(auto page, FollowedPage::open(pid, *found));
    following.pages.push_back(page);
    TC_TRY(auto target, target_of(pid, *found, std::move(page), children));
    targets.push_back(std::move(target));
  }
  TC_TRY(following.engine, syscalls::PtraceEngine::start(std::move(targets)));
  return following;
}

}  // namespace time_chaos::experiment
