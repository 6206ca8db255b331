// How other threads wake the tracer, which sleeps in waitid(2) until a followed thread reports.
//
// waitid waits for tracees and children only: no file descriptor can wake it, and a signal can come
// in the moment before it sleeps and be lost (there is no waitid with a signal mask), besides that
// it would need a process-wide handler. So the tracer has a child of its own that does nothing: to
// wake the tracer, it is killed. Its end is reported whether it comes before the sleep or during
// it. The child is made with exit signal 0: no SIGCHLD, and the agent's other waits do not see it.
// Children are looked at before tracees (do_wait, kernel/exit.c), so hot threads cannot hide it.
#pragma once

#include <sys/types.h>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::syscalls {

class Doorbell {
 public:
  // To be called by the tracer's thread; the child dies with that thread.
  static Result<Doorbell> hang();

  Doorbell(Doorbell&& other) noexcept = default;
  Doorbell& operator=(Doorbell&& other) noexcept;
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;
  ~Doorbell() { take_down(); }

  // What waitid reports when it was rung.
  [[nodiscard]] pid_t pid() const { return pid_; }
  // From any thread. Never hits another process: a pidfd.
  void ring() const;

 private:
  Doorbell(pid_t pid, ScopedFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  void take_down();

  pid_t pid_;
  ScopedFd pidfd_;
};

}  // namespace time_chaos::syscalls
