#include "agent/tracee/candidate.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/targets/process.h"
#include "agent/tracee/registers.h"

namespace time_chaos::tracee {
namespace {

constexpr size_t kMostLooked = 64;
enum Rank { kUserMode, kGoesOn, kRestarts, kOnlyEintr, kUnusable };

Rank rank_of(pid_t pid, pid_t tid) {
  const auto status = targets::read_thread_status(pid, tid);
  if (!status || status->tracer != 0) return kUnusable;
  switch (status->state) {
    case 'R':
      return kUserMode;
    case 'S':
    case 'T':
      break;
    default:
      return kUnusable;  // D, Z, X, t, I
  }
  const auto call = targets::read_thread_syscall(pid, tid);
  if (!call) return kRestarts;  // the file is missing in some kernels
  if (call->running || call->number < 0) return kUserMode;
  if (sleeps_with_restart_block(call->number)) return kGoesOn;
  return never_restarted(call->number) ? kOnlyEintr : kRestarts;
}

}  // namespace

Result<std::vector<pid_t>> candidates(pid_t pid) {
  std::vector<std::pair<Rank, pid_t>> ranked;
  for (const pid_t tid : targets::list_threads(pid)) {
    const Rank rank = rank_of(pid, tid);
    if (rank != kUnusable) ranked.emplace_back(rank, tid);
    if (rank == kUserMode || ranked.size() >= kMostLooked) break;
  }
  if (ranked.empty()) {
    const auto status = targets::read_status(pid);
    if (status && status->tracer != 0) {
      return fail(Exit::kNotPermitted, fmt::format("already traced by pid {}", status->tracer),
                  "detach it and try again");
    }
    return fail(Exit::kFailed, "no thread of it can be stopped now",
                "all sleep uninterruptibly (a vfork parent, or blocked on a device); try again");
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<pid_t> tids;
  tids.reserve(ranked.size());
  for (const auto& [rank, tid] : ranked) tids.push_back(tid);
  return tids;
}

}  // namespace time_chaos::tracee
