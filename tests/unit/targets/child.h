// A process that a test makes for itself, and ends: nothing else on the machine is touched.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <stdexcept>

#include "agent/targets/process.h"

namespace time_chaos::testing {

class Child {
 public:
  enum class Ready { kWhenBodyReturns, kAtOnce };

  // Runs `body` in a fork, then sleeps until killed. Returns when `body` has returned, unless it
  // never does (kAtOnce). The child dies with the thread that made it.
  explicit Child(
      const std::function<void()>& body = [] {}, Ready when = Ready::kWhenBodyReturns) {
    int ready[2];
    if (::pipe(ready) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(ready[0]);
      if (when == Ready::kWhenBodyReturns) body();
      (void)!::write(ready[1], "", 1);
      ::close(ready[1]);
      if (when == Ready::kAtOnce) body();
      for (;;) ::pause();
    }
    ::close(ready[1]);
    char byte = 0;
    (void)!::read(ready[0], &byte, 1);  // also returns when the child has ended
    ::close(ready[0]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&&) = delete;
  Child& operator=(Child&&) = delete;
  ~Child() { end(); }

  [[nodiscard]] pid_t pid() const { return pid_; }

  // Ends it and leaves it a zombie.
  void become_zombie() {
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  void stop() {
    ::kill(pid_, SIGSTOP);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WSTOPPED);
  }
  // Ends it and reaps it: the pid is free.
  void end() {
    if (pid_ <= 0 || reaped_) return;
    const auto threads = targets::list_threads(pid_);
    ::kill(pid_, SIGKILL);
    // A thread that we trace is reaped by itself, before its process; the others are no children.
    for (const pid_t tid : threads) {
      if (tid != pid_) reap(tid);
    }
    reap(pid_);
    reaped_ = true;
  }

 private:
  // The first report of a tracee may be a stop, not its end.
  static void reap(pid_t id) {
    int status = 0;
    while (::waitpid(id, &status, __WALL) == id && !WIFEXITED(status) && !WIFSIGNALED(status)) {
    }
  }

  pid_t pid_ = -1;
  bool reaped_ = false;
};

}  // namespace time_chaos::testing
