// What the user asked for, in the agent's own terms. Passive data, filled in by cli/.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/map_plan.h"
#include "agent/targets/arrivals.h"
#include "agent/vdso/plan.h"

namespace time_chaos::experiment {

using Nanoseconds = std::chrono::nanoseconds;

// Which processes. Selectors add up.
struct Selection {
  std::vector<pid_t> pids;
  std::vector<std::string> names;        // comm
  std::vector<std::string> cgroups;      // directories, or paths as in /proc/PID/cgroup
  std::vector<std::string> experiments;  // what carries an experiment of that name
  bool all = false;                      // whatever carries one
  std::vector<targets::ContainerQuery> containers = {};
  bool all_but_me = false;  // everything in a pod of which the agent is a part

  // They hold for processes that appear later.
  [[nodiscard]] bool open_ended() const {
    return !names.empty() || !cgroups.empty() || !containers.empty() || all_but_me;
  }
  // Nobody comes any more when they are gone.
  [[nodiscard]] bool ends() const {
    return !containers.empty() && names.empty() && cgroups.empty() && !all_but_me;
  }
  [[nodiscard]] bool empty() const {
    return pids.empty() && experiments.empty() && !all && !open_ended();
  }
  // Those that hold for processes that appear later. kNoTarget: there is no such control group.
  [[nodiscard]] Result<std::vector<targets::Selector>> selectors() const;
};

// What the targets of an experiment show by now: of one that appears later, it is what it is to
// show, too.
struct Continued {
  clock::ClockSet clocks;
  clock::ClockMaps maps;
  std::string words;
  std::shared_ptr<const clock::Program> program;  // of which the maps may have a part
};

enum class SyscallEngine { kAuto, kBpf, kPtrace, kOff };

struct ShiftRequest {
  Selection targets;
  clock::ClockSpec clocks;
  std::optional<Continued> continued = {};  // instead of them, for wall clocks
  std::optional<Nanoseconds> duration;
  std::optional<Nanoseconds> lease;      // nothing: never ends by itself
  std::optional<Nanoseconds> wait = {};  // for targets that are not there
  std::string experiment;                // its name
  bool detach = false;
  bool force = false;  // suspend seccomp filters
  bool children = true;
  vdso::Detour detour = vdso::Detour::kAuto;
  std::vector<std::string> modules =
      {};  // whose slots are changed, for vdso::Detour::kPlt; empty: all
  SyscallEngine syscalls = SyscallEngine::kAuto;
  // Whose functions take the place of the vDSO's, for vdso::Detour::kFake.
  std::shared_ptr<const elf::LibraryFile> fake = {};
};

// A library of the user's for --fake, read and found fit. kUsage where it is not.
Result<std::shared_ptr<const elf::LibraryFile>> read_fake_library(const std::string& path);

// An agent that stays renews its lease well before it ends; this long after its death the clocks
// return by themselves.
inline constexpr Nanoseconds kDefaultLease = std::chrono::minutes(10);

// The name that --experiment gives, or one made up. kUsage for one that is none.
Result<std::string> name_of(const std::vector<std::string>& asked);

}  // namespace time_chaos::experiment
