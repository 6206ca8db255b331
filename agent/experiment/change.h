// Changes a running experiment, without a stop of the target.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/check.h"
#include "agent/experiment/select.h"

namespace time_chaos::experiment {

struct Changed {
  pid_t pid = 0;
  std::string command;
  std::string experiment;
  clock::ClockSet clocks;
  std::chrono::nanoseconds offset{0};
  std::chrono::nanoseconds took{0};  // the write that changed the target's clocks
  std::vector<Checked> checked;      // through each engine
  clock::ClockSet kept;
};

// `clocks` empty: those of the experiment. Its end stays what it was.
Result<Changed> change(const Carrier& carrier, clock::ClockSet clocks,
                       std::chrono::nanoseconds offset);

// Gives the maps `lease` from now on: what an agent does that stays.
Status renew(const Carrier& carrier, std::chrono::nanoseconds lease);

}  // namespace time_chaos::experiment
