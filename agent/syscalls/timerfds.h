// Timerfds that are set to an absolute time are set anew when their clock's map changes: Linux does
// that with those of CLOCK_REALTIME when that clock is set. They belong to no thread, so it is done
// from outside, on a duplicate of the descriptor (pidfd_getfd(2)). POSIX timers cannot be reached
// like that: they keep the real end that they were given.
#pragma once

#include <vector>

#include "agent/base/scoped_fd.h"
#include "agent/syscalls/followed.h"

namespace time_chaos::syscalls {

// For all processes at once: a timerfd that several have (by fork) is set once.
class TimerfdRound {
 public:
  // `before`: the maps by which its timers were set.
  void set_anew(FollowedProcess& process, const clock::ClockMaps& before,
                const clock::ClockMaps& now);

 private:
  void set_one(FollowedProcess& process, int pidfd, int fd, const clock::ClockMaps& before,
               const clock::ClockMaps& now);
  [[nodiscard]] bool done_before(int file) const;

  std::vector<ScopedFd> done_;
};

}  // namespace time_chaos::syscalls
