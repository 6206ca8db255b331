#include "agent/syscalls/followed_thread.h"

#include "agent/clock/clock_set.h"

namespace time_chaos::syscalls {

Result<tracee::Memory*> memory_of(FollowedThread& thread) {
  auto& memory = thread.process->memory;
  if (!memory) {
    // By the thread's id: the file of a process whose main thread has ended reads nothing.
    TC_TRY(memory, tracee::Memory::open(thread.thread.tid()));
  }
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

}  // namespace time_chaos::syscalls
