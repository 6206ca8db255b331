// The system calls that wait for a length of time, set a timer to one, or report one: their
// numbers, and where it is. Those for absolute times are in wait_calls.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "agent/tracee/wait_calls.h"

namespace time_chaos::tracee {

struct Length {
  enum class Form { kTimespec, kTimeval, kMilliseconds, kSeconds };
  int argument = 0;
  Form form = Form::kTimespec;
  bool narrow = false;   // fields of 32 bits
  bool setting = false;  // behind an interval, which is one, too; zero disarms
  // Of which clock, as in Deadline.
  Deadline::Clock source = Deadline::Clock::kKnown;
  int clock = -1;
  // Which argument is the address of how many bytes there is room for, and then are written.
  int room = -1;

  [[nodiscard]] bool in_memory() const { return form == Form::kTimespec || form == Form::kTimeval; }
  [[nodiscard]] size_t size() const { return (narrow ? size_t{8} : 16) * (setting ? 2 : 1); }
};

struct LengthCall {
  Length length;
  bool waits = false;    // it blocks for so long
  bool updates = false;  // and writes what is left of it to the same place
  int remainder = -1;    // or there, when it is interrupted
};

// What a call is given. Nothing for all other calls. A null address or a negative number of
// milliseconds is no length.
std::optional<LengthCall> length_of(uint32_t arch, int64_t number,
                                    std::span<const uint64_t> arguments);

// What it reports when it has succeeded: of a timer, or of a socket. The address may be null.
// kSeconds: in the result.
std::optional<Length> reported_by(uint32_t arch, int64_t number,
                                  std::span<const uint64_t> arguments);

}  // namespace time_chaos::tracee
