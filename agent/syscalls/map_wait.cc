#include "agent/syscalls/map_wait.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "agent/syscalls/deadline.h"
#include "agent/syscalls/followed_thread.h"
#include "agent/syscalls/more_slots.h"
#include "agent/targets/timers.h"
#include "agent/tracee/clock_calls.h"
#include "agent/tracee/wait_calls.h"
#include "agent/tracee/waits_anew.h"

namespace time_chaos::syscalls {
namespace {

using tracee::Deadline;

// As the kernel writes and reads it, of 64 bits or of 32; a struct itimerspec is two of these.
struct WireTime {
  static constexpr size_t size(bool narrow) { return narrow ? 8 : 16; }
  static clock::Reading read(const uint8_t* bytes, bool narrow, bool compat) {
    if (narrow) {
      int32_t pair[2];
      std::memcpy(pair, bytes, sizeof pair);
      return {pair[0], pair[1]};
    }
    int64_t pair[2];
    std::memcpy(pair, bytes, sizeof pair);
    // 32-bit programs have padding there (get_timespec64, kernel/time/time.c).
    if (compat) pair[1] = static_cast<int64_t>(static_cast<uint32_t>(pair[1]));
    return {pair[0], pair[1]};
  }
  static void write(uint8_t* bytes, bool narrow, clock::Reading time) {
    if (narrow) {
      const int32_t pair[2] = {static_cast<int32_t>(std::min<int64_t>(time.sec, INT32_MAX)),
                               static_cast<int32_t>(time.nsec)};
      std::memcpy(bytes, pair, sizeof pair);
    } else {
      const int64_t pair[2] = {time.sec, time.nsec};
      std::memcpy(bytes, pair, sizeof pair);
    }
  }
};

int clock_of(const FollowedThread& thread, const Deadline& deadline, uint64_t first_argument) {
  const auto name = static_cast<int32_t>(first_argument);
  switch (deadline.source) {
    case Deadline::Clock::kTimerfd: {
      const auto timer = targets::read_timerfd(thread.thread.tid(), name);
      return timer ? timer->clock : -1;
    }
    case Deadline::Clock::kTimer: {
      const auto clock = targets::read_timer_clock(thread.thread.tid(), name);
      return clock ? *clock : -1;
    }
    case Deadline::Clock::kKnown:
      break;
  }
  return deadline.clock;
}

bool refused_by_kernel(clock::Reading time) {
  return time.sec < 0 || time.nsec < 0 || time.nsec >= TC_NSEC_PER_SEC;
}

// What is pointed at: nothing where the target itself could not read it either, and the kernel will
// say so.
std::optional<std::vector<uint8_t>> read_argument(FollowedThread& thread, uint64_t address,
                                                  size_t size) {
  const auto memory = memory_of(thread);
  if (!memory) return std::nullopt;
  std::vector<uint8_t> bytes(size);
  if ((*memory)->read_as_target(address, bytes) != size) return std::nullopt;
  return bytes;
}

// A slot that is ours still: nothing but what calls of ours leave behind stands in it.
Result<CallSlots::Lease> take_slot(FollowedThread& thread, size_t data) {
  TC_TRY(const tracee::Memory* memory, memory_of(thread));
  for (;;) {
    auto lease = thread.process->slots->take(data);
    if (!lease) return fail(Exit::kFailed, "too many waits at once");
    std::array<uint8_t, tracee::kSlotCode> before{};
    const auto read = memory->read(lease->address(), before);
    if (read && tracee::is_free_or_old(before, lease->address())) return std::move(*lease);
    lease->keep();
  }
}

// False: more slots have been mapped first, and the call is made again.
Result<bool> replace(FollowedThread& thread, tracee::ReplacedArgument replaced,
                     std::span<const uint8_t> data, std::optional<uint64_t> given = {}) {
  TC_TRY(const tracee::Registers entry, thread.thread.registers());
  if (!thread.process->slots) {
    return fail(Exit::kFailed, "whose child it is, is not known yet");
  }
  auto lease = take_slot(thread, data.size());
  if (!lease) {
    TC_CHECK(map_more_slots(thread, entry, replaced.narrow));
    return false;
  }
  const uint64_t slot = lease->address();
  // A 32-bit call of 64-bit code: what it points at, and where it returns, must have 32 bits.
  if (replaced.narrow && (!entry.narrow() || slot + lease->size() > UINT32_MAX)) {
    return fail(Exit::kUnsupported, "a 32-bit call of 64-bit code");
  }
  replaced.ip = entry.ip();
  const auto code = tracee::slot_code(replaced, slot);
  std::vector<uint8_t> bytes(code.begin(), code.end());
  bytes.insert(bytes.end(), data.begin(), data.end());
  TC_CHECK(write_memory(thread, slot, bytes));
  TC_CHECK(thread.thread.set_registers(
      tracee::through_slot(entry, replaced, slot, given.value_or(slot + tracee::kSlotCode))));
  thread.mapped.emplace(FollowedThread::Mapped{replaced, std::move(*lease)});
  return true;
}

}  // namespace

Result<bool> map_wait(FollowedThread& thread, const tracee::SyscallStop& entry) {
  const auto deadline = tracee::deadline_of(entry.arch, entry.number, entry.arguments);
  thread.waits = deadline.has_value();
  if (!deadline) return false;
  const uint64_t address = entry.arguments[deadline->argument];
  if (address == 0) return false;
  const int clock = clock_of(thread, *deadline, entry.arguments[0]);
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
  if (real == shown) return false;
  // A timer that was due at the beginning of time is due, and not disarmed.
  if (deadline->setting && real == clock::Reading{}) real.nsec = 1;
  WireTime::write(place, deadline->narrow, real);
  if (deadline->source == Deadline::Clock::kTimerfd) {
    thread.process->timerfds[static_cast<int32_t>(entry.arguments[0])] = {shown, real};
  }
  return replace(thread, {deadline->argument, address, 0, compat}, *bytes);
}

Status end_mapped_wait(FollowedThread& thread) {
  thread.waits = false;
  if (!thread.mapped) return {};
  const FollowedThread::Mapped mapped = std::move(*thread.mapped);
  thread.mapped.reset();
  const uint64_t slot = mapped.slot.address();
  TC_TRY(const tracee::Registers stopped, thread.thread.registers());
  TC_CHECK(thread.thread.set_registers(tracee::put_back(stopped, mapped.replaced, slot)));
  // From here on it is free for whoever looks at the memory, too.
  return write_memory(thread, slot, std::vector<uint8_t>(mapped.slot.size()));
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
