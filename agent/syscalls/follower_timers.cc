// Timers and timerfds that were set to a time, when the maps change.
#include <algorithm>
#include <chrono>
#include <thread>

#include "agent/syscalls/follower.h"
#include "agent/syscalls/posix_timers.h"
#include "agent/syscalls/timerfds.h"
#include "agent/targets/process.h"
#include "agent/tracee/registers.h"

namespace time_chaos::syscalls {
namespace {

using std::chrono::steady_clock;

// Whoever comes by does so within some milliseconds.
constexpr std::chrono::milliseconds kPatience{300};
constexpr std::chrono::microseconds kPause{50};

class NotesOfFollowed : public TimerfdNotes {
 public:
  explicit NotesOfFollowed(FollowedProcess& process) : process_(process) {}
  std::optional<TimerEnd> find(int fd) override {
    const auto found = process_.timerfds.find(fd);
    return found == process_.timerfds.end() ? std::nullopt : std::optional(found->second);
  }
  void note(int fd, const TimerEnd& end) override { process_.timerfds[fd] = end; }

 private:
  FollowedProcess& process_;
};

// How well a thread is interrupted so that it makes its call again: best one that waits for a time,
// which begins anew as if nothing had been; last one of those that know only EINTR, whose timeouts
// begin anew. Never one that computes, which makes no call.
enum Rank { kWaitsForATime, kRestarts, kWaitsForALength, kOnlyEintr, kComputes };

Rank rank_of(const FollowedThread& thread) {
  if (thread.waits) return thread.length ? kWaitsForALength : kWaitsForATime;
  const auto call = targets::read_thread_syscall(thread.thread.pid(), thread.thread.tid());
  if (!call || call->running || call->number < 0) return kComputes;
  return tracee::never_restarted(call->number) ? kOnlyEintr : kRestarts;
}

}  // namespace

void Follower::set_timers_anew() {
  std::map<const PtraceTarget*, clock::ClockMaps> now;
  TimerfdRound round;
  for (const auto& [pid, process] : processes_) {
    const PtraceTarget* const target = process->target;
    if (process->provisional) continue;
    if (!now.contains(target)) {
      const auto maps = target->maps();
      if (!maps) continue;
      now[target] = *maps;
    }
    const auto known = maps_of_timers_.find(target);
    const clock::ClockMaps before =
        known == maps_of_timers_.end() ? clock::identity_maps() : known->second;
    mark_timers(*process, before, now[target]);
    round.add(pid, std::make_unique<NotesOfFollowed>(*process), before, now[target],
              process->executed);
  }
  round.run();
  maps_of_timers_ = std::move(now);
  rouse_setters();
}

// One thread of each process whose timers are to be set anew.
void Follower::rouse_setters() {
  for (const auto& [pid, process] : processes_) {
    if (!any_anew(*process)) continue;
    FollowedThread* best = nullptr;
    Rank rank = kComputes;
    for (auto& [tid, thread] : threads_) {
      if (thread.process != process || rank == kWaitsForATime) continue;
      const Rank its = rank_of(thread);
      if (its >= rank) continue;
      best = &thread;
      rank = its;
    }
    if (best != nullptr && !best->interrupted) interrupt(*best);
  }
}

bool Follower::any_timer_anew() const {
  return std::any_of(processes_.begin(), processes_.end(),
                     [](const auto& entry) { return any_anew(*entry.second); });
}

// Timers of a process that only computes meanwhile keep the ends that they have.
void Follower::await_setters() {
  const auto start = steady_clock::now();
  while (any_timer_anew() && steady_clock::now() - start < kPatience) {
    std::this_thread::sleep_for(kPause);
    pump();
  }
}

}  // namespace time_chaos::syscalls
