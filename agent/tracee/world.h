// Every thread of a process stopped at once, for as long as this object lives.
#pragma once

#include <chrono>
#include <vector>

#include "agent/base/error.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::tracee {

class StoppedWorld {
 public:
  struct Thread {
    SeizedThread thread;
    Registers registers;
    // In uninterruptible sleep (a vfork parent): it stops before it returns to user mode, because
    // the interrupt stays pending; `registers` holds only its stack and instruction pointer.
    bool asleep_in_kernel = false;
    bool stopped = false;
    bool group_stop = false;  // with its process (SIGSTOP)
  };

  // Seizes and stops all threads; looks for new ones until a pass finds none. Every error lets go
  // what was stopped.
  static Result<StoppedWorld> stop(pid_t pid);

  // Only these threads; those that ended meanwhile are left out.
  static Result<StoppedWorld> stop_these(pid_t pid, const std::vector<pid_t>& tids);

  StoppedWorld(StoppedWorld&& other) noexcept = default;
  StoppedWorld& operator=(StoppedWorld&&) = delete;
  StoppedWorld(const StoppedWorld&) = delete;
  StoppedWorld& operator=(const StoppedWorld&) = delete;
  ~StoppedWorld() { release(); }

  [[nodiscard]] std::vector<Thread>& threads() { return threads_; }
  // Lets all go but this one, which is the caller's from here on, stopped.
  SeizedThread keep(const SeizedThread& thread);

  // From the first thread's stop to now, or to the release.
  [[nodiscard]] std::chrono::nanoseconds held_for() const;

  // Lets all go, without an EINTR of ours. Called by the destructor.
  void release();

 private:
  StoppedWorld() = default;
  Status seize_new(pid_t pid, const std::vector<pid_t>& tids, bool* any);
  Status await(Thread& thread);

  std::vector<Thread> threads_;
  std::chrono::steady_clock::time_point since_;
  std::chrono::steady_clock::time_point until_;
  bool started_ = false;
  bool released_ = false;
};

}  // namespace time_chaos::tracee
