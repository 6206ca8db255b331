// What the engine has done, by target: written by the tracer's thread, read by any.
#pragma once

#include <sys/eventfd.h>
#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "agent/base/scoped_fd.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::syscalls {

// Of a target and the children that are followed because of it.
struct Counters {
  uint64_t shifted = 0;          // calls whose result was changed
  uint64_t failed = 0;           // calls whose result should have been changed and could not
  uint64_t threads = 0;          // followed now
  uint64_t refused = 0;          // calls that would have set a clock of the machine
  uint64_t programs = 0;         // executed, with their vDSO hidden
  uint64_t failed_programs = 0;  // executed, whose vDSO could not be hidden
  uint64_t waits = 0;            // whose end was mapped
  uint64_t failed_waits = 0;     // whose end should have been mapped and could not
  std::array<uint64_t, TC_CLOCK_COUNT> by_clock{};  // of `shifted`
};

class Ledger {
 public:
  void count_shifted(pid_t target, int clock) {
    with(target, [&](Record& r) {
      r.counters.shifted++;
      if (clock >= 0 && clock < TC_CLOCK_COUNT) r.counters.by_clock[static_cast<size_t>(clock)]++;
    });
  }
  void count_failed(pid_t target) {
    with(target, [](Record& r) { r.counters.failed++; });
  }
  void count_refused(pid_t target) {
    with(target, [](Record& r) { r.counters.refused++; });
  }
  void count_program(pid_t target, bool hidden) {
    with(target, [&](Record& r) { (hidden ? r.counters.programs : r.counters.failed_programs)++; });
  }
  void count_wait(pid_t target, bool mapped) {
    with(target, [&](Record& r) { (mapped ? r.counters.waits : r.counters.failed_waits)++; });
  }
  void add_thread(pid_t target) {
    with(target, [](Record& r) { r.counters.threads++; });
  }
  void drop_thread(pid_t target) {
    with(target, [](Record& r) { r.counters.threads--; });
  }
  // In one step, so that the sum is never wrong.
  void move_thread(pid_t from, pid_t to) {
    const std::lock_guard lock(mutex_);
    records_[from].counters.threads--;
    records_[to].counters.threads++;
  }
  // A process that is another program than the one that was shifted, and is let go.
  void note_released(pid_t pid) {
    const std::lock_guard lock(mutex_);
    released_.push_back(pid);
  }
  // Nobody is followed any more.
  void note_idle() {
    idle_ = true;
    const uint64_t one = 1;
    (void)!::write(idle_fd_.get(), &one, sizeof one);
  }
  // One more target, after that.
  void note_busy() {
    idle_ = false;
    uint64_t notes = 0;
    (void)!::read(idle_fd_.get(), &notes, sizeof notes);
  }
  void note_end(pid_t target, int status) {
    with(target, [&](Record& r) { r.exit_status = status; });
  }

  [[nodiscard]] bool idle() const { return idle_; }
  [[nodiscard]] int idle_fd() const { return idle_fd_.get(); }
  [[nodiscard]] std::vector<pid_t> released() const {
    const std::lock_guard lock(mutex_);
    return released_;
  }
  [[nodiscard]] Counters counters(pid_t target) const { return copy(target).counters; }
  [[nodiscard]] std::optional<int> exit_status(pid_t target) const {
    return copy(target).exit_status;
  }

 private:
  struct Record {
    Counters counters;
    std::optional<int> exit_status;
  };
  template <typename Change>
  void with(pid_t target, Change&& change) {
    const std::lock_guard lock(mutex_);
    change(records_[target]);
  }
  [[nodiscard]] Record copy(pid_t target) const {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(target);
    return found == records_.end() ? Record{} : found->second;
  }

  mutable std::mutex mutex_;
  std::map<pid_t, Record> records_;
  std::vector<pid_t> released_;
  std::atomic<bool> idle_ = false;
  ScopedFd idle_fd_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
};

}  // namespace time_chaos::syscalls
