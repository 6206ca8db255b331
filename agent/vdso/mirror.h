// What a target's vDSO functions really return, learnt without running anything in the target: the
// *mirror*, a short-lived child of the agent, gets a copy of the target's vDSO, payload, landing
// pads and clock page at the same distances from each other, and calls them.
//
// The bytes are another process's and are not trusted: the mirror runs them with nothing but
// clock_gettime, gettimeofday and exit_group permitted (seccomp), and none of the agent's shared
// memory mapped. A mirror that crashes or hangs is an error: whatever runs those bytes does too.
#pragma once

#include <sys/types.h>

#include <array>

#include "agent/base/error.h"
#include "agent/clock/reading.h"
#include "agent/vdso/find.h"

namespace time_chaos::vdso {

// One call of a vDSO function, between two readings of the host's clock by system call.
struct MirrorReading {
  clock::Reading before;
  clock::Reading shown;
  clock::Reading after;
  int result = 0;       // of the target's code: 0 or -errno
  int host_result = 0;  // of the system call: 0 or -errno
};

struct Mirror {
  std::array<MirrorReading, TC_CLOCK_COUNT> clocks{};  // by clock id
  MirrorReading gettimeofday;                          // shown in whole microseconds
  MirrorReading time;                                  // shown in whole seconds
  bool has_time = false;                               // some vDSOs have no time()
  int tz_minuteswest = 0;                              // gettimeofday's second argument
  int tz_dsttime = 0;
};

// Of a process that carries an experiment whose code page is mapped (kShifted, kInert). kFailed
// when the code crashes or hangs, naming the call; kUnsupported when no mirror can be set up here,
// with the reason.
Result<Mirror> read_through_mirror(pid_t pid, const Found& found);

// Of a process that carries nothing of ours: its vDSO alone.
Result<Mirror> read_unshifted_mirror(pid_t pid);

}  // namespace time_chaos::vdso
