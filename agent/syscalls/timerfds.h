// Timerfds that are set to an absolute time are set anew when their clock's map changes: Linux does
// that with those of CLOCK_REALTIME when that clock is set. They belong to no thread, so it is done
// from outside, without a stop, on a duplicate of the descriptor (pidfd_getfd(2)).
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "agent/base/scoped_fd.h"
#include "agent/clock/clock_maps.h"
#include "agent/syscalls/timer_end.h"

namespace time_chaos::syscalls {

// What is known of how the timerfds of one process were set.
class TimerfdNotes {
 public:
  TimerfdNotes() = default;
  TimerfdNotes(const TimerfdNotes&) = delete;
  TimerfdNotes(TimerfdNotes&&) = delete;
  TimerfdNotes& operator=(const TimerfdNotes&) = delete;
  TimerfdNotes& operator=(TimerfdNotes&&) = delete;
  virtual ~TimerfdNotes() = default;
  virtual std::optional<TimerEnd> find(int fd) = 0;
  virtual void note(int fd, const TimerEnd& end) = 0;
};

// For all processes at once: a timerfd that several have (by fork), or one has twice, is set once.
class TimerfdRound {
 public:
  // `before`: the maps by which its timers were set. `only_wall`: its monotonic clocks are real.
  void add(pid_t pid, std::unique_ptr<TimerfdNotes> notes, const clock::ClockMaps& before,
           const clock::ClockMaps& now, bool only_wall = false);
  // First those of which is known how they were set; they may be had by others who do not know.
  void run();

 private:
  struct Process {
    pid_t pid;
    ScopedFd pidfd;
    std::unique_ptr<TimerfdNotes> notes;
    clock::ClockMaps before;
    clock::ClockMaps now;
    bool only_wall;
    std::vector<int> fds;
  };
  enum class Which { kNoted, kAll };
  void set_anew(Process& process, int fd, Which which);
  [[nodiscard]] bool done_before(int file) const;

  std::vector<Process> processes_;
  std::vector<ScopedFd> done_;
};

}  // namespace time_chaos::syscalls
