// What targets print about their clocks, and what the host's clocks say.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/live/harness/child.h"

namespace time_chaos::live {

using Nanoseconds = std::chrono::nanoseconds;

// A host clock by raw system call, so that no vDSO of the test's own can be involved.
int64_t host_ns(clockid_t clock);
// What the host's CLOCK_MONOTONIC says now; "since" below is such a value.
int64_t host_mono_ns();
// clock - CLOCK_MONOTONIC on the host: what a target's readings are compared with. Independent of
// how long a line was under way, because targets print their (unshifted) monotonic clock too.
int64_t host_distance_ns(clockid_t clock);

// One line "rt 12.5 mono 3.25 ..." of a target.
class Reading {
 public:
  // Words that are not pairs of a name and a decimal number are left out ("child 17 rt ...").
  static std::optional<Reading> parse(std::string_view line);

  [[nodiscard]] bool has(const std::string& field) const { return fields_.contains(field); }
  [[nodiscard]] int64_t ns(const std::string& field) const;
  // How far `field` (rt, gtod, time, coarse, tai, raw, vdso) is from host time, judged by this
  // line's mono. `time` has whole seconds: the shift rounded down by up to one second is rounded
  // up again.
  [[nodiscard]] Nanoseconds shift(const std::string& field) const;
  [[nodiscard]] const std::string& line() const { return line_; }

 private:
  std::string line_;
  std::map<std::string, int64_t, std::less<>> fields_;
};

// The next reading that was made at or after `since` (host monotonic ns); older lines, which were
// still in the pipe, are skipped.
Result<Reading> next_reading(Child& target, int64_t since,
                             Milliseconds timeout = Milliseconds{5000});

// Checks `count` readings made at or after `since`: each wall clock field is off by `expected`, but
// those named in `unshifted` are not off. An error names the line and the field.
struct ShiftCheck {
  Nanoseconds expected{0};
  int64_t since = 0;
  int count = 3;
  std::vector<std::string> unshifted = {"raw"};
  std::string only_label = {};  // only lines that begin with this ("child")
};
Status check_shift(Child& target, const ShiftCheck& check);
// The same for every reading among the lines of `text`; how many there are.
Result<int> check_lines(const std::string& text, Nanoseconds expected,
                        const std::vector<std::string>& unshifted = {});

// Readings may be this far off: a target may lose the CPU between mono and another clock.
inline constexpr Nanoseconds kReadingTolerance = std::chrono::milliseconds{400};

}  // namespace time_chaos::live
