// What the engine has done, by target: written by the tracer's thread, read by any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace time_chaos::syscalls {

// Of a target and the children that are followed because of it.
struct Counters {
  uint64_t shifted = 0;          // calls whose result was changed
  uint64_t failed = 0;           // calls whose result should have been changed and could not
  uint64_t threads = 0;          // followed now
  uint64_t refused = 0;          // calls that would have set a clock of the machine
  uint64_t programs = 0;         // executed, with their vDSO hidden
  uint64_t failed_programs = 0;  // executed, whose vDSO could not be hidden
};

class Ledger {
 public:
  void count_shifted(pid_t target) {
    with(target, [](Record& r) { r.counters.shifted++; });
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
  void add_thread(pid_t target) {
    with(target, [](Record& r) { r.counters.threads++; });
  }
  void drop_thread(pid_t target) {
    with(target, [](Record& r) { r.counters.threads--; });
  }
  void note_end(pid_t target, int status) {
    with(target, [&](Record& r) { r.exit_status = status; });
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
};

}  // namespace time_chaos::syscalls
