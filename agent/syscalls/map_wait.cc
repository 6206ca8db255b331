#include "agent/syscalls/map_wait.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "agent/syscalls/deadline.h"
#include "agent/syscalls/followed_thread.h"
#include "agent/syscalls/map_length.h"
#include "agent/syscalls/replace_argument.h"
#include "agent/syscalls/wire_time.h"
#include "agent/tracee/clock_calls.h"
#include "agent/tracee/wait_calls.h"
#include "agent/tracee/wait_lengths.h"
#include "agent/tracee/waits_anew.h"

namespace time_chaos::syscalls {
namespace {

using tracee::Deadline;

bool refused_by_kernel(clock::Reading time) {
  return time.sec < 0 || time.nsec < 0 || time.nsec >= TC_NSEC_PER_SEC;
}

}  // namespace

Result<bool> map_wait(FollowedThread& thread, const tracee::SyscallStop& entry) {
  const auto deadline = tracee::deadline_of(entry.arch, entry.number, entry.arguments);
  thread.waits = deadline.has_value();
  const auto before = std::exchange(thread.continues, std::nullopt);
  thread.length.reset();
  thread.timer_change.reset();
  if (tracee::changes_timer(entry.arch, entry.number)) {
    thread.timer_change = {Deadline::Clock::kTimer, static_cast<int32_t>(entry.arguments[0]), {}};
  }
  if (!deadline) {
    const auto length = tracee::length_of(entry.arch, entry.number, entry.arguments);
    return length ? map_length(thread, entry, *length, before) : false;
  }
  if (deadline->source != Deadline::Clock::kKnown) {
    thread.timer_change = {deadline->source, static_cast<int32_t>(entry.arguments[0]), {}};
  }
  const uint64_t address = entry.arguments[deadline->argument];
  if (address == 0) return false;
  const int clock = clock_of_call(thread, deadline->source, deadline->clock, entry.arguments[0]);
  if (clock < 0 || clock >= TC_CLOCK_COUNT) return false;
  TC_TRY(const clock::ClockMaps maps, maps_of(thread, clock));
  const bool compat = tracee::narrow_arguments(entry.arch);
  const size_t size = WireTime::size(deadline->narrow);
  auto bytes = read_argument(thread, address, deadline->setting ? 2 * size : size);
  if (!bytes) return false;
  uint8_t* const place = bytes->data() + (deadline->setting ? size : 0);
  const clock::Reading shown = WireTime::read(place, deadline->narrow, compat);
  if (refused_by_kernel(shown)) return false;
  if (deadline->setting && shown == clock::Reading{}) return false;
  clock::Reading real = real_time_of(maps, clock, shown);
  // A timer that was due at the beginning of time is due, and not disarmed.
  if (deadline->setting) real = never_off(real);
  const auto interval = [&] {
    const auto [sec, nsec] = WireTime::read(bytes->data(), deadline->narrow, compat);
    return std::chrono::seconds(std::min<int64_t>(sec, TC_LAST_SEC)) +
           std::chrono::nanoseconds(nsec);
  };
  if (thread.timer_change) thread.timer_change->set = {clock, {shown, real}, interval()};
  if (real == shown) return false;
  WireTime::write(place, deadline->narrow, real);
  if (deadline->setting) {
    map_interval(maps, clock, bytes->data(), deadline->narrow, compat, 1);
    thread.timer_change->set->interval = interval();
  }
  auto replaced = replace_argument(thread, {deadline->argument, address, 0, compat}, *bytes);
  if (!replaced && thread.timer_change) thread.timer_change->set->end.real = shown;
  return replaced;
}

Status end_mapped_wait(FollowedThread& thread, bool leaving) {
  thread.waits = false;
  TC_CHECK(put_argument_back(thread));
  return end_length(thread, leaving);
}

void note_timer(FollowedThread& thread, int64_t result) {
  const auto change = std::exchange(thread.timer_change, std::nullopt);
  if (!change || result != 0) return;
  FollowedProcess& process = *thread.process;
  const bool posix = change->source == Deadline::Clock::kTimer;
  if (posix && change->set) {
    process.posix_timers[change->name] = *change->set;
  } else if (posix) {
    process.posix_timers.erase(change->name);
  } else if (change->set) {
    process.timerfds[change->name] = change->set->end;
  } else {
    process.timerfds.erase(change->name);
  }
}

Status settle_wait(FollowedThread& thread) {
  TC_TRY(const tracee::Registers stopped, thread.thread.registers());
  tracee::Registers wanted = stopped;
  const auto& slots = thread.process->slots;
  if (slots && slots->contains(stopped.ip())) {
    wanted = tracee::without_slot(thread.thread.tid(), wanted, slots->ranges());
  }
  wanted = tracee::waiting_anew(wanted, std::exchange(thread.resumed_futex, false));
  return wanted == stopped ? Status() : thread.thread.set_registers(wanted);
}

}  // namespace time_chaos::syscalls
