// Everything that can be refused of one target, before anything of it is changed.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/map_plan.h"
#include "agent/experiment/carrier.h"
#include "agent/experiment/request.h"
#include "agent/experiment/syscall_side.h"
#include "agent/targets/process.h"
#include "agent/vdso/attach.h"

namespace time_chaos::experiment {

// Decided, with nothing touched.
struct PlannedTarget {
  targets::Process process;
  int threads = 0;
  clock::MapPlan maps = {};
  std::optional<vdso::AttachPlan> attach = {};  // nothing: an ended experiment is taken over
  std::optional<vdso::Found> found = {};        // what an earlier experiment left
  std::vector<payload::PatchRecord> patches = {};
  std::optional<BpfPlace> bpf = {};  // where it stands in a BPF engine already
  bool takes_over = false;           // an ended experiment, of which monotonic clocks were kept
  std::string abandoned = {};  // the experiment of a killed agent that has to be recovered first
  bool only_calls = false;     // its memory is not touched: the BPF engine alone serves it
  size_t slots = 0;            // PLT mode: how many GOT slots
  std::vector<std::string> modules = {};  // of these modules
  // Of its clock page, which forked children share; known when it is shifted.
  std::string page_identity = {};

  [[nodiscard]] bool plt() const {
    return attach ? attach->plt.has_value() : found && found->slots.has_value();
  }
};

// What carries the experiment of a killed agent is refused, or planned as it will be when that is
// recovered.
enum class Abandoned { kRefused, kForeseen };

// Refuses what cannot be a target or carries a running experiment; plans the rest. Errors are
// worded as "cannot shift 77 (postgres): ...".
Result<PlannedTarget> plan_target(targets::Process process, const ShiftRequest& request,
                                  const SyscallChoice& choice,
                                  Abandoned abandoned = Abandoned::kRefused);

// The same of a child of ours before its exec, whose memory is of no interest: the BPF engine
// serves the program that it will be.
Result<PlannedTarget> plan_before_exec(targets::Process process, const ShiftRequest& request);

// The lease that the maps get: the request's lease or its duration, whichever ends first.
std::optional<Nanoseconds> initial_lease(const ShiftRequest& request);

// The maps of a target whose clocks show `current` now, and go on or begin.
Result<clock::MapPlan> plan_maps(const ShiftRequest& request, const clock::ClockMaps& current);

}  // namespace time_chaos::experiment
