// What became of the BPF engine when it was tried: for doctor.
#pragma once

#include <string>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::syscalls {

struct BpfTrial {
  std::string hooks;     // "fexit (lose nothing while the kernel does not preempt: ...)"
  bool lossy = false;    // under load
  std::string no_guard;  // why targets can set the machine's clock; empty: they cannot
  std::string no_time;   // why raw time(2) calls are not shifted; empty: they are
  std::string no_waits;  // why waits end in real time; empty: they do not
  std::string no_left;   // why what is left of waits is real; empty: it is the target's time
  std::string no_pins;   // why it cannot outlive its agent; empty: it can
  std::vector<std::string> refused;  // better hooks that the kernel refused, and why
};

// Loads and attaches it, with no targets, and lets it go again. The error names every obstacle.
Result<BpfTrial> try_bpf();

}  // namespace time_chaos::syscalls
