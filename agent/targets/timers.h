// The timers of a process, as /proc shows them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

#include "agent/base/error.h"

namespace time_chaos::targets {

// /proc/PID/fdinfo/FD of a timerfd (proc_pid_fdinfo(5)).
struct Timerfd {
  int clock = -1;
  unsigned flags = 0;     // TFD_TIMER_* with which it was set
  uint64_t ticks = 0;     // expirations that nobody has read
  int64_t value_sec = 0;  // how long until it expires; 0, 0: never
  int64_t value_nsec = 0;
  int64_t interval_sec = 0;
  int64_t interval_nsec = 0;
};
// kNoTarget: there is no such file, or it is no timerfd. `pid` may be a thread's id.
Result<Timerfd> parse_timerfd(std::string_view text);
Result<Timerfd> read_timerfd(pid_t pid, int fd);

// The clock of the POSIX timer with that id, from /proc/PID/timers (proc_pid_timers(5)).
Result<int> parse_timer_clock(std::string_view text, int timer);
Result<int> read_timer_clock(pid_t pid, int timer);
// And the signal that it sends.
Result<int> parse_timer_signal(std::string_view text, int timer);
Result<int> read_timer_signal(pid_t pid, int timer);

}  // namespace time_chaos::targets
