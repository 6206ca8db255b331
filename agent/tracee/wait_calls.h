// The system calls that wait for, or set a timer to, an absolute time of a clock: their numbers,
// and where that time is.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace time_chaos::tracee {

struct Deadline {
  // What keeps the time: for a timer or a timerfd argument 0 is its name, and knows the clock.
  enum class Clock { kKnown, kTimer, kTimerfd };
  Clock source = Clock::kKnown;
  int clock = -1;        // kKnown: its id
  int argument = 0;      // which one is the address of the time; it may be null: no deadline
  bool narrow = false;   // fields of 32 bits
  bool setting = false;  // struct itimerspec: behind an interval, and zero disarms
};

// `arch`: AUDIT_ARCH_*; `arguments`: six. Nothing for all other calls, and for relative times.
std::optional<Deadline> deadline_of(uint32_t arch, int64_t number,
                                    std::span<const uint64_t> arguments);

// timer_settime(2) or timer_delete(2): argument 0 is the timer.
bool changes_timer(uint32_t arch, int64_t number);
// timer_settime(2), with 64-bit fields. `narrow`: of 32-bit code.
int64_t timer_settime_number(bool narrow);

}  // namespace time_chaos::tracee
