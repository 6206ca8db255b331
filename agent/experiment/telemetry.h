// What a running experiment says of itself in numbers, and those as Prometheus reads them.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace time_chaos::experiment {

struct Telemetry {
  std::string experiment;
  bool in_force = false;      // a target is shifted now
  size_t targets = 0;         // that live, without their descendants
  uint64_t attaches = 0;      // targets shifted so far
  uint64_t changes = 0;       // by a file or a client
  uint64_t failures = 0;      // that were said
  uint64_t refused_sets = 0;  // calls that would have set the machine's clock (ptrace)
  // How long attaches stopped their targets.
  std::chrono::nanoseconds stopped{0};
  std::chrono::nanoseconds longest_stop{0};
  struct Calls {
    std::string engine;
    std::string clock;
    uint64_t shifted = 0;
    uint64_t refused = 0;  // the kernel refused to write the result: shown unshifted
  };
  std::vector<Calls> calls;
  // Ahead of real time, of the target that was first.
  std::vector<std::pair<std::string, std::chrono::nanoseconds>> offsets;
  std::chrono::microseconds processor_time{0};  // the agent's own
  uint64_t resident_bytes = 0;
};

// The text exposition format, version 0.0.4.
std::string prometheus(const Telemetry& telemetry);

// Fills in what the agent itself takes.
void measure_self(Telemetry& telemetry);

}  // namespace time_chaos::experiment
