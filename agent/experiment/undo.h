// Recovers targets.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/check.h"
#include "agent/experiment/select.h"
#include "agent/experiment/tree.h"
#include "agent/vdso/recover.h"

namespace time_chaos::experiment {

struct Recovered {
  pid_t pid = 0;
  std::string command;
  std::string experiment;
  vdso::RecoverReport report;
  std::optional<Checked> checked;  // nothing while monotonic clocks are kept ahead
  bool left_bpf = false;           // it has no entry in the BPF engine any more, checked
  bool only_calls = false;         // it never had anything but that
  bool executed = false;           // a target executed it
};

// One process. A living agent that traces it (the ptrace engine) is asked to end first, and waited
// for. Errors are worded as "cannot recover 77 (postgres): ...".
Result<Recovered> recover_carrier(const Carrier& carrier, bool force);

// A program that an agent follows without pages of its own: that agent is asked to end, and waited
// for.
Status let_go(const Node& executed);

}  // namespace time_chaos::experiment
