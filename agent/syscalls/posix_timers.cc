#include "agent/syscalls/posix_timers.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>

#include "agent/clock/clock_set.h"
#include "agent/syscalls/deadline.h"
#include "agent/syscalls/followed_thread.h"
#include "agent/syscalls/own_calls.h"
#include "agent/targets/process.h"
#include "agent/targets/timers.h"
#include "agent/tracee/clock_calls.h"
#include "agent/tracee/wait_calls.h"

namespace time_chaos::syscalls {
namespace {

using std::chrono::nanoseconds;

// Until the call is made.
constexpr nanoseconds kSoon = std::chrono::milliseconds(20);

bool repeats(const PosixTimer& timer) {
  return timer.interval > nanoseconds(0);
}

// Its next expiry, so much behind the one that was noted. Nothing: it has expired for good.
std::optional<nanoseconds> until_next(const PosixTimer& timer) {
  const nanoseconds passed = clock::minus(read_host(timer.clock), timer.end.real);
  if (passed < nanoseconds(0)) return nanoseconds(0);
  if (!repeats(timer)) return std::nullopt;
  return (passed / timer.interval + 1) * timer.interval;
}

// The kernel might take back a signal that waits to be delivered.
bool signal_waits(const FollowedThread& thread, int id) {
  const pid_t pid = thread.process->pid;
  const auto number = targets::read_timer_signal(thread.thread.tid(), id);
  if (!number || *number < 1 || *number > 64) return false;
  const auto tids = targets::list_threads(pid);
  return std::any_of(tids.begin(), tids.end(), [&](pid_t tid) {
    const auto status = targets::read_thread_status(pid, tid);
    return status && (((status->pending | status->shared_pending) >> (*number - 1)) & 1) != 0;
  });
}

enum class Next { kNow, kLater, kNever };

Next look_at(const FollowedThread& thread, int id, PosixTimer& timer) {
  const auto step = until_next(timer);
  if (!step) return Next::kNever;
  timer.end = {clock::plus(timer.end.shown, *step), clock::plus(timer.end.real, *step)};
  const bool soon = clock::minus(timer.end.real, read_host(timer.clock)) <= kSoon;
  if (!repeats(timer)) return soon ? Next::kNever : Next::kNow;
  // What repeats so fast is always about to expire.
  if (*step > nanoseconds(0) && timer.interval <= 2 * kSoon) return Next::kNever;
  return soon || signal_waits(thread, id) ? Next::kLater : Next::kNow;
}

OwnCallPlan setting_call(int id, const PosixTimer& timer, clock::Reading real, bool narrow,
                         uint64_t at) {
  OwnCallPlan plan;
  plan.call = {tracee::timer_settime_number(narrow),
               {static_cast<uint32_t>(id), TIMER_ABSTIME, at + tracee::kOwnCallCode, 0, 0, 0}};
  plan.name = "timer_settime";
  const clock::Reading interval = clock::as_reading(timer.interval);
  const int64_t setting[] = {interval.sec, interval.nsec, real.sec, real.nsec};
  static_assert(sizeof setting == sizeof plan.data);
  std::memcpy(plan.data.data(), setting, sizeof setting);
  return plan;
}

Status set_one(FollowedThread& thread, const tracee::SyscallStop& entry, int id,
               PosixTimer& timer) {
  TC_TRY(const clock::ClockMaps maps, maps_of(thread, timer.clock));
  const clock::Reading real = never_off(real_time_of(maps, timer.clock, timer.end.shown));
  const bool narrow = tracee::narrow_arguments(entry.arch);
  TC_TRY(const tracee::Registers registers, thread.thread.registers());
  TC_TRY(const uint64_t at, place_for_own_call(thread, registers, narrow));
  TC_CHECK(
      begin_own_call(thread, registers, narrow, at, setting_call(id, timer, real, narrow, at)));
  thread.own->timer = {id, {timer.end.shown, real}};
  TC_TRY(const bool done, await_own_call(thread));
  return done ? end_timer_call(thread) : Status();
}

}  // namespace

void mark_timers(FollowedProcess& process, const clock::ClockMaps& before,
                 const clock::ClockMaps& now) {
  std::erase_if(process.posix_timers, [](auto& one) { return !until_next(one.second); });
  for (auto& [id, timer] : process.posix_timers) {
    // See maps_of().
    if (process.executed && clock::is_monotonic(timer.clock)) continue;
    const auto step = until_next(timer);
    if (!step) continue;
    const clock::Reading next = clock::plus(timer.end.real, *step);
    const TimerStands stands{timer.clock, next, next, repeats(timer)};
    const auto end = end_anew(stands, timer.end, before, now);
    if (!end) continue;
    timer.end = {end->shown, next};
    timer.anew = true;
  }
}

bool any_anew(const FollowedProcess& process) {
  return std::any_of(process.posix_timers.begin(), process.posix_timers.end(),
                     [](const auto& entry) { return entry.second.anew; });
}

Result<bool> set_timer_anew(FollowedThread& thread, const tracee::SyscallStop& entry,
                            const std::function<bool(int)>& busy) {
  auto& timers = thread.process->posix_timers;
  if (thread.process->slots && thread.process->slots->calling()) return false;
  if (tracee::changes_timer(entry.arch, entry.number)) return false;
  const auto next = std::find_if(timers.begin(), timers.end(), [&](auto& one) {
    auto& [id, timer] = one;
    if (!timer.anew || busy(id)) return false;
    const Next what = look_at(thread, id, timer);
    timer.anew = what != Next::kNever;
    return what == Next::kNow;
  });
  if (next == timers.end()) return false;
  const auto tried = set_one(thread, entry, next->first, next->second);
  if (tried) return true;
  for (auto& [id, timer] : timers) timer.anew = false;
  return fail(tried.error());
}

Status end_timer_call(FollowedThread& thread) {
  const auto left = leave_own_call(thread);
  const FollowedThread::Own own = *std::exchange(thread.own, std::nullopt);
  TC_TRY(const int64_t result, left);
  auto& timers = thread.process->posix_timers;
  const auto timer = timers.find(own.timer->id);
  if (timer != timers.end() && result == 0) {
    timer->second.end = own.timer->end;
    timer->second.anew = false;
  } else if (timer != timers.end()) {
    timers.erase(timer);
  }
  return wipe_own_call(thread, own.at);
}

}  // namespace time_chaos::syscalls
