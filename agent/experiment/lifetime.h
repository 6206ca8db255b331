// What an agent that stays waits for: a signal that asks it to end, a moment, the end of a target,
// and word of a change that somebody else made.
// It sleeps in one poll(2) and wakes for nothing else.
#pragma once

#include <chrono>
#include <optional>
#include <span>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos::experiment {

class Lifetime {
 public:
  // From here on SIGINT, SIGTERM, SIGHUP and kChangedSignal wait to be read instead of ending the
  // agent; threads and children started later inherit that (children undo it before they exec).
  static Result<Lifetime> begin();

  struct Event {
    enum class Kind { kSignal, kMoment, kTargetEnded, kChanged } kind = Kind::kMoment;
    int signal = 0;
    size_t target = 0;  // index into the pidfds
  };
  // `until`: by CLOCK_BOOTTIME's steady kin, std::chrono::steady_clock. Nothing: without a limit.
  // Negative pidfds are passed over.
  Result<Event> wait(std::optional<std::chrono::steady_clock::time_point> until,
                     std::span<const int> pidfds);

  // A signal that is waiting already.
  std::optional<int> pending_signal();

 private:
  explicit Lifetime(ScopedFd signals) : signals_(std::move(signals)) {}
  ScopedFd signals_;
};

}  // namespace time_chaos::experiment
