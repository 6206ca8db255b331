// Times as the kernel reads and writes them in a program's memory, of 64 bits or of 32.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>

#include "agent/clock/reading.h"
#include "time_chaos/abi/clock_wait.h"

namespace time_chaos::syscalls {

// A struct timespec; a struct itimerspec is two of these.
struct WireTime {
  static constexpr size_t size(bool narrow) { return narrow ? 8 : 16; }
  static clock::Reading read(const uint8_t* bytes, bool narrow, bool compat) {
    if (narrow) {
      int32_t pair[2];
      std::memcpy(pair, bytes, sizeof pair);
      return {pair[0], pair[1]};
    }
    int64_t pair[2];
    std::memcpy(pair, bytes, sizeof pair);
    // 32-bit programs have padding there (get_timespec64, kernel/time/time.c).
    if (compat) pair[1] = static_cast<int64_t>(static_cast<uint32_t>(pair[1]));
    return {pair[0], pair[1]};
  }
  static void write(uint8_t* bytes, bool narrow, clock::Reading time) {
    if (narrow) {
      const int32_t pair[2] = {static_cast<int32_t>(std::min<int64_t>(time.sec, INT32_MAX)),
                               static_cast<int32_t>(time.nsec)};
      std::memcpy(bytes, pair, sizeof pair);
    } else {
      const int64_t pair[2] = {time.sec, time.nsec};
      std::memcpy(bytes, pair, sizeof pair);
    }
  }
};

// A length, in nanoseconds: a struct timespec or, in steps of a microsecond, timeval.
struct WireLength {
  // Nothing where the kernel refuses it, or where it is for ever.
  static std::optional<int64_t> read(const uint8_t* bytes, bool narrow, bool compat, int64_t step) {
    const clock::Reading time = WireTime::read(bytes, narrow, compat);
    const bool valid = time.sec >= 0 && time.sec <= TC_LAST_SEC && time.nsec >= 0 &&
                       time.nsec < TC_NSEC_PER_SEC / step;
    if (!valid) return std::nullopt;
    return time.sec * TC_NSEC_PER_SEC + time.nsec * step;
  }
  // Not too short.
  static void write(uint8_t* bytes, bool narrow, int64_t step, int64_t length) {
    clock::Reading time{TC_LAST_SEC, 0};
    if (length / TC_NSEC_PER_SEC < TC_LAST_SEC) {
      const int64_t whole = length + (step - 1);
      time = {whole / TC_NSEC_PER_SEC, whole % TC_NSEC_PER_SEC / step};
    }
    WireTime::write(bytes, narrow, time);
  }
};

}  // namespace time_chaos::syscalls
