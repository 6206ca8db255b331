#include "agent/syscalls/shift_call.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "agent/clock/clock_maps.h"

namespace time_chaos::syscalls {
namespace {

// The largest errno value that a system call returns, negated (include/linux/err.h).
constexpr int64_t kMaxErrno = 4095;

Result<tracee::Memory*> memory_of(FollowedThread& thread) {
  auto& memory = thread.process->memory;
  if (!memory) {
    // By the thread's id: the file of a process whose main thread has ended reads nothing.
    TC_TRY(memory, tracee::Memory::open(thread.thread.tid()));
  }
  return &*memory;
}

template <typename Value>
Status write(FollowedThread& thread, uint64_t address, const Value& value) {
  TC_TRY(tracee::Memory* const memory, memory_of(thread));
  memory->poke_through(thread.thread);
  Status written = memory->write_value(address, value);
  memory->stop_poking();
  return written;
}

// `unit`: nanoseconds of one step of the second field.
Result<bool> shift_pair(FollowedThread& thread, uint64_t address, int64_t unit,
                        const clock::ClockMaps& maps, int clock) {
  TC_TRY(tracee::Memory* const memory, memory_of(thread));
  TC_TRY(const TimePair real, memory->read_value<TimePair>(address));
  RecentWrites& writes = thread.process->writes;
  if (writes.ours(address, real, thread.writes_at_entry)) return false;
  if (real.fraction < 0 || real.fraction >= TC_NSEC_PER_SEC / unit) {
    return fail(Exit::kFailed, "another thread wrote over the reading");
  }
  const clock::Reading shown = clock::apply(maps, clock, {real.sec, real.fraction * unit});
  const TimePair fake{shown.sec, shown.nsec / unit};
  if (fake == real) return false;
  TC_CHECK(write(thread, address, fake));
  writes.note(address, fake);
  return true;
}

clock::Reading host_coarse() {
  timespec now{};
  (void)::syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &now);
  return {now.tv_sec, now.tv_nsec};
}

Result<bool> shift_time(FollowedThread& thread, const tracee::Registers& registers,
                        const clock::ClockMaps& maps) {
  const int64_t real = registers.result();
  const clock::Reading reading =
      clock::apply(maps, CLOCK_REALTIME, reading_behind_time(real, host_coarse()));
  if (reading.sec == real) return false;
  tracee::Registers changed = registers;
  changed.set_result(reading.sec);
  TC_CHECK(thread.thread.set_registers(changed));
  if (registers.argument(0) != 0) TC_CHECK(write(thread, registers.argument(0), reading.sec));
  return true;
}

}  // namespace

clock::Reading reading_behind_time(int64_t seconds, clock::Reading coarse) {
  if (coarse.sec == seconds) return coarse;
  // The clock has gone on since: the last instant of that second lies between the call and now. A
  // clock that was set back meanwhile: its first.
  return {seconds, coarse.sec > seconds ? TC_NSEC_PER_SEC - 1 : 0};
}

Result<bool> shift_call(FollowedThread& thread, const tracee::Registers& registers) {
  const tracee::CallNumbers numbers = tracee::call_numbers();
  const int64_t call = registers.call();
  const int64_t result = registers.result();
  if (call < 0) return false;
  if (call == numbers.clock_gettime) {
    // clockid_t is an int: the kernel ignores the register's upper half.
    const auto id = static_cast<int32_t>(registers.argument(0));
    if (result != 0 || id < 0 || id >= TC_CLOCK_COUNT) return false;
    TC_TRY(const clock::ClockMaps maps, thread.process->target->maps());
    return shift_pair(thread, registers.argument(1), 1, maps, id);
  }
  if (call == numbers.gettimeofday) {
    if (result != 0 || registers.argument(0) == 0) return false;
    TC_TRY(const clock::ClockMaps maps, thread.process->target->maps());
    return shift_pair(thread, registers.argument(0), 1000, maps, CLOCK_REALTIME);
  }
  if (call == numbers.time) {
    if (result < 0 && result >= -kMaxErrno) return false;
    TC_TRY(const clock::ClockMaps maps, thread.process->target->maps());
    return shift_time(thread, registers, maps);
  }
  return false;
}

}  // namespace time_chaos::syscalls
