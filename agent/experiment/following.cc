#include "agent/experiment/following.h"

#include <fmt/format.h>

#include <map>
#include <string>
#include <utility>

#include "agent/targets/process.h"
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
  if (!children) target.release = give_clock_back;
  if (found.record.patch_count != 0 || found.slots) {
    target.vdso_start = found.record.vdso;
    target.vdso_end = found.record.vdso + found.record.vdso_size;
  }
  target.slots = found.call_slots();
  return target;
}

// The children that targets have forked between their shift and the moment they were followed.
Status include_children(syscalls::PtraceEngine& engine,
                        const std::map<std::string, pid_t>& target_of_page) {
  constexpr int kMostRounds = 10;  // of them, children of children
  bool any = true;
  for (int round = 0; any && round < kMostRounds; round++) {
    any = false;
    for (const pid_t pid : targets::list_processes()) {
      const auto status = targets::read_status(pid);
      if (!status || status->tracer != 0 || status->no_memory) continue;
      const auto found = vdso::find_experiment(pid);
      if (!found || !*found || (*found)->state != vdso::State::kShifted) continue;
      const auto target = target_of_page.find((*found)->page_identity);
      if (target == target_of_page.end()) continue;
      const Status included = engine.include(pid, target->second);
      if (!included && included.error().kind() != Exit::kNoTarget) {
        return fail(included.error().because_of(fmt::format("cannot follow {}", pid)));
      }
      any = true;
    }
  }
  return {};
}

}  // namespace

void Following::renew(std::optional<std::chrono::nanoseconds> lease,
                      const clock::Programs& programs) const {
  for (const auto& [target, weak] : pages) {
    if (const auto page = weak.lock()) (void)page->renew(lease, programs);
  }
}

Status follow_too(Following& following, pid_t pid, bool children) {
  TC_TRY(const auto found, vdso::find_experiment(pid));
  if (!found) return fail(Exit::kNoTarget, fmt::format("{} carries no experiment", pid));
  TC_TRY(auto page, FollowedPage::open(pid, *found));
  std::erase_if(following.pages, [](const auto& held) { return held.second.expired(); });
  following.pages[pid] = page;
  TC_TRY(auto target, target_of(pid, *found, std::move(page), children));
  TC_CHECK(following.engine->add(std::move(target)));
  if (children) TC_CHECK(include_children(*following.engine, {{found->page_identity, pid}}));
  return {};
}

void Following::stop() const {
  for (const auto& [target, weak] : pages) {
    if (const auto page = weak.lock()) (void)page->put_clocks_back();
  }
  engine->stop();
}

Result<Following> follow(const std::vector<pid_t>& pids, bool children) {
  Following following;
  std::vector<syscalls::PtraceTarget> targets;
  std::map<std::string, pid_t> target_of_page;
  for (const pid_t pid : pids) {
    TC_TRY(const auto found, vdso::find_experiment(pid));
    if (!found) return fail(Exit::kNoTarget, fmt::format("{} carries no experiment", pid));
    TC_TRY(auto page, FollowedPage::open(pid, *found));
    following.pages[pid] = page;
    target_of_page[found->page_identity] = pid;
    TC_TRY(auto target, target_of(pid, *found, std::move(page), children));
    targets.push_back(std::move(target));
  }
  TC_TRY(following.engine, syscalls::PtraceEngine::start(std::move(targets)));
  if (children) TC_CHECK(include_children(*following.engine, target_of_page));
  return following;
}

}  // namespace time_chaos::experiment
