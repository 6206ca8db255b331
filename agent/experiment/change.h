// Changes a running experiment, without a stop of the target.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/course.h"
#include "agent/experiment/check.h"
#include "agent/experiment/select.h"

namespace time_chaos::experiment {

struct Changed {
  pid_t pid = 0;
  std::string command;
  std::string experiment;
  clock::ClockSet clocks;
  std::chrono::nanoseconds offset{0};  // at the moment of the change
  std::string words;                   // what was asked for
  std::chrono::nanoseconds took{0};    // the write that changed the target's clocks
  std::vector<Checked> checked;        // through each engine
  clock::ClockSet kept;
  bool ended = false;  // nobody has the page just now: who comes to it will show that
};

// `spec.clocks` empty: those of the experiment. Its end stays what it was.
Result<Changed> change(const Carrier& carrier, const clock::ClockSpec& spec);

// The same of a page that nobody has just now.
Result<Changed> change(vdso::ClockPage& page, const clock::ClockSpec& spec);

// What an agent does that stays. Gives the maps `lease` from now on; nothing: their end stays.
// `programs`: what tables may be a part of, and are filled from again.
Status renew(const Carrier& carrier, std::optional<std::chrono::nanoseconds> lease,
             const clock::Programs& programs);
// The same of a page that nobody has just now.
Status renew(vdso::ClockPage& page, std::optional<std::chrono::nanoseconds> lease,
             const clock::Programs& programs);

}  // namespace time_chaos::experiment
