// What a target's raw system calls return, seen by making them: a short-lived child of the agent is
// a target with the same clock page for that moment, and reads every clock.
#pragma once

#include <array>
#include <cstdint>

#include "agent/base/error.h"
#include "agent/clock/reading.h"
#include "agent/syscalls/bpf_state.h"

namespace time_chaos::syscalls {

// One call, between two readings of the host's clock by the agent itself.
struct RawReading {
  clock::Reading before;
  clock::Reading shown;
  clock::Reading after;
  int result = 0;       // 0 or -errno
  int host_result = 0;  // of the agent's own call
};

struct RawReadings {
  // clock_gettime, by clock id. Clocks of CPU time are the child's own, and left out (-EINVAL).
  std::array<RawReading, TC_CLOCK_COUNT> clocks{};
  RawReading gettimeofday;  // in whole microseconds
  RawReading time;          // in whole seconds
};

Result<RawReadings> read_through_bpf(const BpfState& engine, uint32_t page);

}  // namespace time_chaos::syscalls
