// Timers that are set to a time, and not to a length: Linux sets those of CLOCK_REALTIME anew when
// that clock is set. What a program has asked for is not always to be seen from when the kernel
// will let its timer expire: a clock that stands still has made "never" of it. So it is noted.
#pragma once

#include <chrono>
#include <optional>

#include "agent/clock/clock_maps.h"

namespace time_chaos::syscalls {

struct TimerEnd {
  clock::Reading shown;  // what the program asked for
  clock::Reading real;   // what the kernel was given
};

// A POSIX timer that is set to a time.
struct PosixTimer {
  int clock = 0;
  TimerEnd end;                          // of its next expiry, or of its last
  std::chrono::nanoseconds interval{0};  // as the kernel was given it
  bool anew = false;                     // the maps have changed: it is to be set anew
};

// How a timer stands: when it expires next, as far as that can be read: its clock was read before
// and after it.
struct TimerStands {
  int clock = 0;
  clock::Reading earliest;
  clock::Reading latest;
  bool repeats = false;
};

// It is set as it was noted, and has not expired since.
bool is_at(const TimerStands& timer, const TimerEnd& noted);

// As it is to be set by the maps that are in force `now`; nothing where these are the maps `before`
// by which it was set, for its clock. `noted`: of its last setting.
std::optional<TimerEnd> end_anew(const TimerStands& timer, const std::optional<TimerEnd>& noted,
                                 const clock::ClockMaps& before, const clock::ClockMaps& now);

// What the kernel is to be given: 0 would switch the timer off, and not be over.
clock::Reading never_off(clock::Reading real);

}  // namespace time_chaos::syscalls
