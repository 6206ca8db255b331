// How following begins and how it ends.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <thread>

#include "agent/syscalls/followed_thread.h"
#include "agent/syscalls/follower.h"
#include "agent/targets/process.h"
#include "agent/tracee/following.h"
#include "agent/tracee/waits_anew.h"

namespace time_chaos::syscalls {
namespace {

using std::chrono::steady_clock;

// A thread that can stop does so within microseconds, on a loaded machine within some time slices.
// After the first span those in uninterruptible sleep (a vfork parent) and the dead are given up,
// after the second all.
constexpr std::chrono::milliseconds kPatience{300};
constexpr std::chrono::seconds kEnd{10};
constexpr std::chrono::microseconds kPause{50};

// The clock by which it waits for a length of time has another map than it had.
bool passes_otherwise(const FollowedThread& thread) {
  const auto maps = maps_of(thread, thread.length->clock);
  if (!maps) return true;
  const tc_clock_map& now = (*maps)[static_cast<size_t>(thread.length->clock)];
  return now.kind == TC_MAP_SCHEDULE ||
         std::memcmp(&now, &thread.length->map, offsetof(tc_clock_map, until_sec)) != 0;
}

bool cannot_stop(const FollowedThread& thread) {
  const auto status = targets::read_thread_status(thread.thread.pid(), thread.thread.tid());
  return !status || status->state == 'D' || status->state == 'Z' || status->state == 'X';
}

}  // namespace

Status Follower::attach() {
  for (const PtraceTarget& target : targets_) {
    if (auto seized = seize_all(target); !seized) {
      return fail(seized.error().because_of(fmt::format("cannot follow {}", target.pid)));
    }
  }
  await_first_stops();
  set_timers_anew();
  return {};
}

bool Follower::traced_by_us(pid_t tid) const {
  const auto status = targets::read_thread_status(tid, tid);
  return status && status->tracer == self_;
}

Status Follower::seize_all(const PtraceTarget& target) {
  auto& process = processes_[target.pid];  // known already if an earlier target forked it meanwhile
  if (!process) process = std::make_shared<FollowedProcess>();
  process->pid = target.pid;
  process->target = &target;
  process->vdso_start = target.vdso_start;
  process->vdso_end = target.vdso_end;
  process->provisional = false;
  process->slots = std::make_shared<CallSlots>(target.slots);
  if (const auto memory = tracee::Memory::open(target.pid)) {
    process->slots->pass_over_used(*memory);
  }
  return seize_process(target.pid, process);
}

Status Follower::include(pid_t pid, pid_t target) {
  const auto parent = processes_.find(target);
  if (parent == processes_.end() || processes_.contains(pid)) return {};
  const auto process = processes_[pid] = std::make_shared<FollowedProcess>();
  process->descend_from(*parent->second, tracee::share_memory(target, pid));
  process->pid = pid;
  const auto memory = tracee::Memory::open(pid);
  if (memory && process->slots) process->slots->pass_over_used(*memory);
  Status seized = seize_process(pid, process);
  if (!seized) let_go_of(pid);
  return seized;
}

Status Follower::add(PtraceTarget target) {
  forget_ended_targets();
  if (processes_.contains(target.pid)) {
    return fail(Exit::kFailed, fmt::format("{} is followed already", target.pid));
  }
  const PtraceTarget& added = targets_.emplace_back(std::move(target));
  if (idle_) {
    idle_ = false;
    ledger_.note_busy();
  }
  if (auto seized = seize_all(added); !seized) {
    let_go_of(added.pid);
    note_if_idle();
    return fail(seized.error().because_of(fmt::format("cannot follow {}", added.pid)));
  }
  await_first_stops();
  set_timers_anew();
  return {};
}

// A service that is restarted for a year is not to be remembered life by life. The last one stays:
// it stands in for a parent that is not known yet.
void Follower::forget_ended_targets() {
  const auto serves = [this](const PtraceTarget& target) {
    const auto is_of = [&](const auto& entry) { return entry.second->target == &target; };
    return std::any_of(processes_.begin(), processes_.end(), is_of) ||
           std::any_of(unborn_.begin(), unborn_.end(), is_of) ||
           std::any_of(threads_.begin(), threads_.end(),
                       [&](const auto& entry) { return entry.second.process->target == &target; });
  };
  const auto ended = [&](const PtraceTarget& target) {
    return &target != &targets_.back() && !serves(target);
  };
  std::erase_if(maps_of_timers_, [&](const auto& entry) { return ended(*entry.first); });
  std::erase_if(targets_, ended);
}

// A process of which not all threads could be seized.
void Follower::let_go_of(pid_t pid) {
  const auto process = processes_.extract(pid);
  if (process.empty()) return;
  process.mapped()->leaving = true;
  for (auto& [tid, thread] : threads_) {
    if (thread.process == process.mapped()) interrupt(thread);
  }
  await_first_stops();
}

Status Follower::seize_process(pid_t pid, std::shared_ptr<FollowedProcess> process) {
  // A thread can make another while we look; those of seized threads are attached by the kernel.
  for (int clean = 0; clean < 2;) {
    bool any = false;
    std::vector<pid_t> tids = targets::list_threads(pid);
    // The main thread last: whether the kernel keeps an ignored signal of the process is decided by
    // whether that one is traced, and it would then wake threads that nobody watches yet.
    std::reverse(tids.begin(), tids.end());
    for (const pid_t tid : tids) {
      if (threads_.contains(tid)) continue;
      const bool resumed = tracee::resumed_futex(pid, tid);
      const auto seized = tracee::SeizedThread::seize(pid, tid, tracee::follow_options());
      if (!seized) {
        if (seized.error().kind() == Exit::kNoTarget || traced_by_us(tid)) continue;
        return fail(seized.error());
      }
      FollowedThread& thread = add(tid, *seized, process);
      thread.resumed_futex = resumed;
      interrupt(thread);
      any = true;
    }
    pump();
    clean = any ? 0 : clean + 1;
  }
  const bool alive = std::any_of(threads_.begin(), threads_.end(), [&](const auto& entry) {
    return entry.second.process == process;
  });
  if (!alive) return fail(Exit::kNoTarget, "the process has ended");
  return {};
}

void Follower::await_first_stops() {
  const auto start = steady_clock::now();
  const auto awaited = [&](const auto& entry) {
    if (!entry.second.interrupted) return false;
    return steady_clock::now() - start < kPatience || !cannot_stop(entry.second);
  };
  while (std::any_of(threads_.begin(), threads_.end(), awaited)) {
    // Whoever is given up here stops, and is followed, before it runs in user mode again.
    if (steady_clock::now() - start > kEnd) return;
    std::this_thread::sleep_for(kPause);
    pump();
  }
}

void Follower::begin_waits_anew() {
  for (auto& [tid, thread] : threads_) {
    if (thread.waits && (!thread.length || passes_otherwise(thread))) interrupt(thread);
  }
  set_timers_anew();
}

void Follower::let_go() {
  set_timers_anew();
  await_setters();
  leaving_ = true;
  for (const auto& [pid, process] : processes_) {
    if (process->executed) ledger_.note_released(pid);
  }
  for (auto& [tid, thread] : threads_) interrupt(thread);
  const auto start = steady_clock::now();
  for (;;) {
    pump();
    const auto reported = tracee::poll_any();
    const auto waited = steady_clock::now() - start;
    if (!reported || waited > kEnd) break;  // there is none left
    if (*reported) {
      look_at(**reported);
      continue;
    }
    const bool hopeless = std::all_of(threads_.begin(), threads_.end(),
                                      [](const auto& entry) { return cannot_stop(entry.second); });
    if (waited > kPatience && hopeless) break;
    std::this_thread::sleep_for(kPause);
  }
  // The rest the kernel lets go when this thread ends.
  while (!threads_.empty()) forget(threads_.begin()->first);
}

}  // namespace time_chaos::syscalls
