// The vDSO engine's main act: a running process gets the detour.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "agent/base/error.h"
#include "agent/clock/map_plan.h"
#include "agent/vdso/clock_page.h"
#include "agent/vdso/find.h"
#include "agent/vdso/plan.h"

namespace time_chaos::vdso {

struct AttachOptions {
  bool suspend_seccomp = false;           // --force
  std::shared_ptr<ClockPage> twin;        // of the page that the target gets
  std::vector<std::string> modules = {};  // PLT mode: whose slots, as in the plan
};

struct AttachReport {
  std::chrono::nanoseconds stopped{0};                    // the one thread that ran the stub
  std::optional<std::chrono::nanoseconds> world_stopped;  // all threads, if five bytes were patched
  int attempts = 1;
  uint64_t code = 0;
  std::vector<payload::PatchRecord> patches;
  LedSlots led;                  // PLT mode
  std::optional<Loaded> loaded;  // a library of the user's
};

// Whether something in the target would refuse `plan`: a seccomp filter, or, for a library of the
// user's, that no thread of it may load one. Threads are stopped for a moment where they have a
// filter or there is a library; nothing is changed. kNotPermitted, kUnsupported, kNoTarget.
Status rehearse_attach(pid_t pid, const AttachPlan& plan, const AttachOptions& options);

// Carries out `plan`, and then puts `maps` into force by one flip. `header` fills in the clock
// page's first fields. On any error everything is undone before it is returned. EEXIST: the target
// may have mapped something where our pages were to go since that was planned.
Result<AttachReport> attach(pid_t pid, const AttachPlan& plan, const AttachOptions& options,
                            const clock::ClockMaps& maps,
                            const std::function<void(tc_clock_page&)>& header);

// For a target that still carries the code of an experiment that was undone (State::kInert): the
// same code is used again. kFailed when it is not what this agent would have written.
Result<AttachReport> reuse(pid_t pid, const Found& found, const AttachOptions& options,
                           const clock::ClockMaps& maps,
                           const std::function<void(tc_clock_page&)>& header);

}  // namespace time_chaos::vdso
