// The ptrace engine: raw clock_gettime, gettimeofday and time calls of targets are shifted at their
// exit by a tracer that follows every thread, new ones and forked children included. It serves
// where BPF may not write user memory. Every system call of a target costs two stops: hundreds of
// times slower than native, but exact.
//
// While it lives it is the tracer of its targets: nobody else, the agent included, can seize them.
// Where a target is a child of the agent itself, the agent must not wait for that child before
// stop(): the kernel would hand it the tracer's stops. exit_status() says how it ended; a pidfd
// says when.
#pragma once

#include <sys/types.h>

#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "agent/base/error.h"
#include "agent/syscalls/doorbell.h"
#include "agent/syscalls/ledger.h"
#include "agent/syscalls/ptrace_target.h"

namespace time_chaos::syscalls {

class Follower;

class PtraceEngine {
 public:
  // Returns once all threads of all targets are followed: every call that begins from then on is
  // shifted. An error leaves all targets as they were.
  static Result<std::unique_ptr<PtraceEngine>> start(std::vector<PtraceTarget> targets);

  PtraceEngine(const PtraceEngine&) = delete;
  PtraceEngine& operator=(const PtraceEngine&) = delete;
  PtraceEngine(PtraceEngine&&) = delete;
  PtraceEngine& operator=(PtraceEngine&&) = delete;
  ~PtraceEngine() { stop(); }

  // One more target: returns once all its threads are followed. An error leaves it as it was.
  Status add(PtraceTarget target);
  // A child that a target has forked before start(): follows it as those that come after. kNoTarget
  // when it has ended.
  Status include(pid_t child, pid_t target);

  // The maps were changed: waits in flight begin anew, timerfds are set anew. Soon, not at once.
  void begin_waits_anew();

  [[nodiscard]] Counters counters(pid_t target) const { return ledger_.counters(target); }
  // As waitpid's status, of a target that ended while it was followed.
  [[nodiscard]] std::optional<int> exit_status(pid_t target) const {
    return ledger_.exit_status(target);
  }
  // True once no target and no descendant of one is left; the file descriptor is readable then.
  [[nodiscard]] bool idle() const { return ledger_.idle(); }
  [[nodiscard]] int idle_fd() const { return ledger_.idle_fd(); }
  // After stop(): the processes that had become other programs, and lived when they were let go.
  [[nodiscard]] std::vector<pid_t> released() const { return ledger_.released(); }

  // Lets go of every thread; once it has returned no call is shifted. Idempotent, from any thread.
  void stop();

 private:
  PtraceEngine() = default;
  void trace(std::vector<PtraceTarget> targets, std::promise<Status> attached);

  Ledger ledger_;
  // What the tracer's thread is asked to do.
  struct Order {
    std::function<Status(Follower&)> work;
    std::promise<Status> done;
  };
  Status ask(std::function<Status(Follower&)> work);
  std::mutex mutex_;  // bell_, stopping_, anew_, orders_
  std::optional<Doorbell> bell_;
  bool stopping_ = false;
  bool anew_ = false;
  std::vector<Order> orders_;
  std::once_flag stopped_;
  std::thread tracer_;
};

}  // namespace time_chaos::syscalls
