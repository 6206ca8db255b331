// One experiment from its first target to its last recovery: what `time-chaos agent` does.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/control.h"
#include "agent/experiment/follow_way.h"
#include "agent/experiment/lifetime.h"
#include "agent/experiment/request.h"
#include "agent/experiment/shift.h"
#include "agent/experiment/syscall_side.h"
#include "agent/experiment/undo.h"

namespace time_chaos::experiment {

// Who hears what happens, as it happens.
class Events {
 public:
  Events() = default;
  Events(const Events&) = delete;
  Events& operator=(const Events&) = delete;
  Events(Events&&) = delete;
  Events& operator=(Events&&) = delete;
  virtual ~Events() = default;

  // Which engine shifts raw system calls, and why.
  virtual void chosen(const SyscallChoice& choice) = 0;
  // A target is not there yet; it is waited for.
  virtual void waits(const Error& missing, Nanoseconds span) = 0;
  virtual void planned(const PlannedTarget& target, const SyscallChoice& choice) = 0;
  virtual void shifted(const Shifted& target) = 0;
  // How those are found who come later.
  virtual void follows(const FollowWay& way) = 0;
  // One has come, by that selector: shifted() says the rest, where BPF has not done it already.
  virtual void appeared(pid_t pid, const std::string& command, const std::string& selector,
                        bool by_bpf) = 0;
  // PLT mode: so many more GOT slots, of libraries that were loaded since.
  virtual void loaded(pid_t pid, size_t slots) = 0;
  // The ptrace engine has begun.
  virtual void following(pid_t pid, const syscalls::Counters& counters) = 0;
  virtual void followed(pid_t pid, const syscalls::Counters& counters) = 0;  // and has ended
  // Asked for while it runs.
  virtual void changed(const Changed& target) = 0;
  virtual void recovered(const Recovered& target) = 0;
  // A program that was executed by a target or a descendant: not followed any more, so it reads
  // the host's time.
  virtual void released(pid_t pid, const std::string& command) = 0;
  virtual void gone(pid_t pid, const std::string& command) = 0;
  virtual void failed(const Error& error) = 0;
  // How often tick() is wanted while the experiment runs; nothing: never.
  virtual std::optional<std::chrono::milliseconds> tick_period() = 0;
  virtual void tick(std::optional<Nanoseconds> left) = 0;
};

// Plans all targets (any refusal ends it with nothing changed), shifts them, stays until a signal
// or the end of the duration or of the last target, recovers. `dry_run`: only plans. The result is
// the exit code.
// `askers`: are served while it runs.
Exit conduct(const ShiftRequest& request, bool dry_run, Events& events,
             std::vector<Asker*> askers = {});

}  // namespace time_chaos::experiment
