// Shifts one target that was planned: the deed, then the check.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/check.h"
#include "agent/experiment/planned_target.h"
#include "agent/experiment/syscall_side.h"

namespace time_chaos::experiment {

// What was done to one target, and what it was seen to read.
struct Shifted {
  pid_t pid = 0;
  std::string command;
  int threads = 0;
  std::string experiment;
  clock::ClockSet clocks;
  std::chrono::nanoseconds offset{0};  // at the start
  std::string words;                   // what was asked for
  std::vector<payload::PatchRecord> patches;
  std::chrono::nanoseconds stopped{0};
  std::optional<std::chrono::nanoseconds> world_stopped;
  std::optional<clock::Reading> until;  // by the host's CLOCK_REALTIME; nothing: never
  std::vector<Checked> checked;
  clock::ClockSet kept;
  RawCalls raw_calls = RawCalls::kUntouched;
  bool plt = false;                  // by GOT slots:
  size_t slots = 0;                  // so many lead to us
  std::vector<std::string> modules;  // of these modules
  bool only_calls = false;           // nothing of it was stopped or written
  bool hidden = false;               // its vDSO is hidden from it
  std::string no_detour;             // why it is not detoured, where that was tried first
  std::string fake = {};             // the library of the user's that is asked; empty: none
};

// On any error the target is as it was before. `number`: which of the side's places is its.
Result<Shifted> shift_target(PlannedTarget& target, const ShiftRequest& request, SyscallSide& side,
                             size_t number);

// When the maps end, as the host's CLOCK_REALTIME will read then.
std::optional<clock::Reading> end_of(const clock::ClockMaps& maps, clock::ClockSet clocks);

}  // namespace time_chaos::experiment
