#include "agent/syscalls/shift_call.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

#include "agent/clock/clock_maps.h"
#include "agent/syscalls/followed_thread.h"
#include "agent/tracee/clock_calls.h"

namespace time_chaos::syscalls {
namespace {

// The largest errno value that a system call returns, negated (include/linux/err.h).
constexpr int64_t kMaxErrno = 4095;

template <typename Value>
Status write_value(FollowedThread& thread, uint64_t address, const Value& value) {
  return write_memory(thread, address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
}

// As 32-bit programs keep it.
struct NarrowPair {
  int32_t sec = 0;
  int32_t fraction = 0;
};

// 32 bits end in 2038: a clock stands still there, instead of being in 1901.
int64_t held(int64_t seconds) {
  return std::min<int64_t>(seconds, INT32_MAX);
}

Result<TimePair> read_pair(FollowedThread& thread, uint64_t address, bool narrow) {
  TC_TRY(tracee::Memory* const memory, memory_of(thread));
  if (!narrow) return memory->read_value<TimePair>(address);
  TC_TRY(const NarrowPair pair, memory->read_value<NarrowPair>(address));
  return TimePair{pair.sec, pair.fraction};
}

Status write_pair(FollowedThread& thread, uint64_t address, bool narrow, const TimePair& pair) {
  if (!narrow) return write_value(thread, address, pair);
  return write_value(
      thread, address,
      NarrowPair{static_cast<int32_t>(pair.sec), static_cast<int32_t>(pair.fraction)});
}

// `unit`: nanoseconds of one step of the second field.
Result<bool> shift_pair(FollowedThread& thread, uint64_t address, bool narrow, int64_t unit,
                        const clock::ClockMaps& maps, int clock) {
  TC_TRY(const TimePair real, read_pair(thread, address, narrow));
  RecentWrites& writes = thread.process->writes;
  if (writes.ours(address, real, thread.writes_at_entry)) return false;
  if (real.fraction < 0 || real.fraction >= TC_NSEC_PER_SEC / unit) {
    return fail(Exit::kFailed, "another thread wrote over the reading");
  }
  const clock::Reading shown = clock::apply(maps, clock, {real.sec, real.fraction * unit});
  TimePair fake{shown.sec, shown.nsec / unit};
  if (narrow) fake.sec = held(fake.sec);
  if (fake == real) return false;
  TC_CHECK(write_pair(thread, address, narrow, fake));
  writes.note(address, fake);
  return true;
}

clock::Reading host_coarse() {
  timespec now{};
  (void)::syscall(SYS_clock_gettime, CLOCK_REALTIME_COARSE, &now);
  return {now.tv_sec, now.tv_nsec};
}

Result<bool> shift_time(FollowedThread& thread, const tracee::Registers& registers,
                        uint64_t address, bool narrow, const clock::ClockMaps& maps) {
  const int64_t real = registers.result();
  clock::Reading reading =
      clock::apply(maps, CLOCK_REALTIME, reading_behind_time(real, host_coarse()));
  if (narrow) reading.sec = held(reading.sec);
  if (reading.sec == real) return false;
  tracee::Registers changed = registers;
  changed.set_result(reading.sec);
  TC_CHECK(thread.thread.set_registers(changed));
  if (address == 0) return true;
  TC_CHECK(narrow ? write_value(thread, address, static_cast<int32_t>(reading.sec))
                  : write_value(thread, address, reading.sec));
  return true;
}

}  // namespace

clock::Reading reading_behind_time(int64_t seconds, clock::Reading coarse) {
  if (coarse.sec == seconds) return coarse;
  // The clock has gone on since: the last instant of that second lies between the call and now. A
  // clock that was set back meanwhile: its first.
  return {seconds, coarse.sec > seconds ? TC_NSEC_PER_SEC - 1 : 0};
}

int clock_read_by(const tracee::Registers& registers, uint32_t arch) {
  using Kind = tracee::ClockCall::Kind;
  const auto kind = tracee::clock_call(arch, registers.call()).kind;
  if (kind == Kind::kGetTimeOfDay || kind == Kind::kTime) return CLOCK_REALTIME;
  if (kind != Kind::kGetTime) return -1;
  return static_cast<int32_t>(tracee::narrow_arguments(arch) ? registers.narrow_argument(0)
                                                             : registers.argument(0));
}

Result<bool> shift_call(FollowedThread& thread, const tracee::Registers& registers, uint32_t arch) {
  using Kind = tracee::ClockCall::Kind;
  if (registers.call() < 0) return false;
  const tracee::ClockCall call = tracee::clock_call(arch, registers.call());
  if (call.kind == Kind::kNone) return false;
  const int64_t result = registers.result();
  const auto argument = [&](int index) {
    return tracee::narrow_arguments(arch) ? registers.narrow_argument(index)
                                          : registers.argument(index);
  };
  const uint64_t address = argument(call.buffer);
  switch (call.kind) {
    case Kind::kGetTime: {
      // clockid_t is an int: the kernel ignores the register's upper half.
      const auto id = static_cast<int32_t>(argument(0));
      if (result != 0 || id < 0 || id >= TC_CLOCK_COUNT) return false;
      TC_TRY(const clock::ClockMaps maps, maps_of(thread, id));
      return shift_pair(thread, address, call.narrow_data, 1, maps, id);
    }
    case Kind::kGetTimeOfDay: {
      if (result != 0 || address == 0) return false;
      TC_TRY(const clock::ClockMaps maps, maps_of(thread, CLOCK_REALTIME));
      return shift_pair(thread, address, call.narrow_data, 1000, maps, CLOCK_REALTIME);
    }
    case Kind::kTime: {
      if (result < 0 && result >= -kMaxErrno) return false;
      TC_TRY(const clock::ClockMaps maps, maps_of(thread, CLOCK_REALTIME));
      return shift_time(thread, registers, address, call.narrow_data, maps);
    }
    default:
      return false;
  }
}

}  // namespace time_chaos::syscalls
