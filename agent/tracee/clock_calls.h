// The system calls that read or set clocks, by architecture: their numbers, and where their data
// is.
#pragma once

#include <cstdint>

namespace time_chaos::tracee {

struct ClockCall {
  enum class Kind {
    kNone,          // another call
    kGetTime,       // clock id, buffer of {seconds, nanoseconds}
    kGetTimeOfDay,  // buffer of {seconds, microseconds}
    kTime,          // returns seconds, and writes them into a buffer if there is one
    kSet,           // sets a clock whatever its arguments are
    kAdjust,        // sets a clock unless the buffer's first word, `modes`, says that it only reads
  };
  Kind kind = Kind::kNone;
  int buffer = 0;            // which argument is its address
  bool narrow_data = false;  // fields of 32 bits in the buffer or the result
};

// `arch`: AUDIT_ARCH_*, as a system call stop reports it.
ClockCall clock_call(uint32_t arch, int64_t number);
// Calls of 32-bit code: arguments in other registers, of 32 bits. False for an architecture whose
// calls are not known, too.
bool narrow_arguments(uint32_t arch);

}  // namespace time_chaos::tracee
