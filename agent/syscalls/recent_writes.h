// The last results that were written into a process, so that none is shifted twice.
//
// Threads that share one buffer (a static timespec) can both stand at the exit of their calls: the
// buffer then holds one host reading, and the first to be handled shifts it for both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace time_chaos::syscalls {

// struct timespec and struct timeval of 64-bit programs: {sec, nsec} or {sec, usec}.
struct TimePair {
  int64_t sec = 0;
  int64_t fraction = 0;
  bool operator==(const TimePair&) const = default;
};

class RecentWrites {
 public:
  // The number of writes so far. Taken when a call begins.
  [[nodiscard]] uint64_t count() const { return count_; }

  void note(uint64_t address, TimePair value) { entries_[count_++ % kKept] = {address, value}; }

  // True if `value` is what was written at `address` since the count was `since`: it is no host
  // reading. Writes older than the last kKept are forgotten: so many threads in one buffer at once
  // are not expected.
  [[nodiscard]] bool ours(uint64_t address, TimePair value, uint64_t since) const {
    const uint64_t oldest = count_ > kKept ? count_ - kKept : 0;
    for (uint64_t i = since > oldest ? since : oldest; i < count_; i++) {
      const Entry& entry = entries_[i % kKept];
      if (entry.address == address && entry.value == value) return true;
    }
    return false;
  }

 private:
  static constexpr size_t kKept = 64;
  struct Entry {
    uint64_t address = 0;
    TimePair value;
  };
  std::array<Entry, kKept> entries_{};
  uint64_t count_ = 0;
};

}  // namespace time_chaos::syscalls
