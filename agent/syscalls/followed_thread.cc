#include "agent/syscalls/followed_thread.h"

#include "agent/clock/clock_set.h"
#include "agent/targets/timers.h"

namespace time_chaos::syscalls {

Result<tracee::Memory*> memory_of(FollowedThread& thread) {
  auto& memory = thread.process->memory;
  if (!memory) {
    // By the thread's id: the file of a process whose main thread has ended reads nothing.
    TC_TRY(memory, tracee::Memory::open(thread.thread.tid()));
  }
  memory->act_as(thread.thread.tid());
  return &*memory;
}

Status write_memory(FollowedThread& thread, uint64_t address, std::span<const uint8_t> bytes) {
  TC_TRY(tracee::Memory* const memory, memory_of(thread));
  memory->poke_through(thread.thread);
  Status written = memory->write(address, bytes);
  memory->stop_poking();
  return written;
}

Result<clock::ClockMaps> maps_of(const FollowedThread& thread, int clock) {
  const FollowedProcess& process = *thread.process;
  if (process.executed && clock::is_monotonic(clock)) {
    return clock::identity_maps();
  }
  return process.target->maps();
}

int clock_of_call(const FollowedThread& thread, tracee::Deadline::Clock source, int clock,
                  uint64_t first_argument) {
  using tracee::Deadline;
  const auto name = static_cast<int32_t>(first_argument);
  switch (source) {
    case Deadline::Clock::kTimerfd: {
      const auto timer = targets::read_timerfd(thread.thread.tid(), name);
      return timer ? timer->clock : -1;
    }
    case Deadline::Clock::kTimer: {
      const auto known = targets::read_timer_clock(thread.thread.tid(), name);
      return known ? *known : -1;
    }
    case Deadline::Clock::kKnown:
      break;
  }
  return clock;
}

}  // namespace time_chaos::syscalls
