// The memory of a target, through /proc/PID/mem: writes go through page protection (FOLL_FORCE),
// which makes private copies of read-only pages, as a debugger's breakpoints do.
//
// The file belongs to the address space that the process had when it was opened: after an exec it
// reads and writes nothing, so a plan for the old program cannot hurt the new one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::tracee {

class Memory {
 public:
  static Result<Memory> open(pid_t pid);

  // All of it or an error.
  Status read(uint64_t address, std::span<uint8_t> into) const;
  Result<std::vector<uint8_t>> read(uint64_t address, uint64_t size) const;
  Status write(uint64_t address, std::span<const uint8_t> bytes);
  // As much as the target itself could read from there on: it ends at a guard page, which the file
  // would read through. Returns the number of bytes.
  [[nodiscard]] size_t read_as_target(uint64_t address, std::span<uint8_t> into) const;
  // The same for many places at once, one behind the other; it ends where one cannot be read whole.
  struct Place {
    uint64_t address = 0;
    uint64_t size = 0;
  };
  [[nodiscard]] size_t read_as_target(std::span<const Place> places, std::span<uint8_t> into) const;
  // A thread of the target that lives: the two below fail through one that has ended.
  void act_as(pid_t tid) { pid_ = tid; }
  // As the target itself could: not through page protection. kFailed where it could not.
  Status write_as_target(uint64_t address, std::span<const uint8_t> bytes) const;
  // Something is mapped there and readable.
  [[nodiscard]] bool present(uint64_t address) const;

  template <typename T>
  Result<T> read_value(uint64_t address) const {
    T value{};
    TC_CHECK(read(address, {reinterpret_cast<uint8_t*>(&value), sizeof value}));
    return value;
  }
  template <typename T>
  Status write_value(uint64_t address, const T& value) {
    return write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }

  // Where the kernel refuses writes through the file (proc_mem.force_override=never), write by
  // PTRACE_POKEDATA on this thread, which must be stopped whenever write() is called.
  void poke_through(const SeizedThread& stopped) { poker_ = stopped; }
  void stop_poking() { poker_.reset(); }

 private:
  Memory(pid_t pid, ScopedFd file) : pid_(pid), file_(std::move(file)) {}
  Status write_words(uint64_t address, std::span<const uint8_t> bytes);

  pid_t pid_;
  ScopedFd file_;
  std::optional<SeizedThread> poker_;
};

}  // namespace time_chaos::tracee
