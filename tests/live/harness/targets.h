// The programs whose clocks the tests shift: what they are called, how they are started, and what
// is missing when they cannot be.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/live/harness/child.h"
#include "tests/live/harness/snapshot.h"

namespace time_chaos::live {

// The path of a program built from tests/live/targets ("hot").
std::string target_path(const std::string& name);

// A target that prints its clocks, in one language and C library.
struct ClockTarget {
  std::string name;                // "java"
  std::vector<std::string> argv;   // argv[0] is looked up in PATH
  std::vector<std::string> files;  // what must have been built, or be installed
  std::string needs;               // "a Java compiler (default-jdk-headless)"
  Maps maps = Maps::kExact;        // does it map memory while it runs?
  // Fields that the vDSO engine cannot reach in it.
  std::vector<std::string> beyond_vdso = {"raw"};

  // Why it cannot run here; nullopt when it can.
  [[nodiscard]] std::optional<std::string> missing() const;
};

const std::vector<ClockTarget>& clock_targets();
const ClockTarget& clock_target(const std::string& name);

// Starts it and waits for its first reading (runtimes take a while).
Result<Child> start_clock_target(const ClockTarget& target);
// Any target by name and arguments; waits for nothing.
Result<Child> start_target(const std::string& name, const std::vector<std::string>& arguments = {},
                           bool with_input = false);

}  // namespace time_chaos::live
