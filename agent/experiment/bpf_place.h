// Where a target stands in a BPF engine, and how that is found from the target: by the number that
// its clock page and the engine's copy of it share, or, for a target without a page of its own, by
// its entry in the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/syscalls/bpf_state.h"
#include "agent/targets/process.h"
#include "agent/vdso/clock_page.h"

namespace time_chaos::experiment {

using Engine = std::shared_ptr<const syscalls::BpfState>;
using Engines = std::vector<Engine>;

struct BpfPlace {
  Engine engine;
  uint32_t page = 0;  // number of the clock page in it
};

// Those of all agents of this machine, as far as we may see them.
Engines running_engines();
// Without this, engines may run that we do not see.
bool engines_visible();

// `page` is in the target's memory, and not trusted: its process must have an entry as well.
std::optional<BpfPlace> place_of(pid_t pid, const tc_clock_page& page, const Engines& engines);
std::optional<BpfPlace> place_of(pid_t pid, const Engines& engines);
// Every process of our pid namespace that has an entry, ascending.
std::vector<pid_t> processes_in(const Engines& engines);

// Those of one page, ascending: forked children and what they executed included.
std::vector<pid_t> processes_of(const BpfPlace& place);
// `pid` runs a program that was executed by a target: it has no pages, its vDSO is hidden.
bool was_executed(pid_t pid, const BpfPlace& place);

// `pid` is no target's child: BPF has entered it because of its name or its control group.
bool came_by_itself(pid_t pid, const BpfPlace& place);

// The engine's clock page.
Result<vdso::ClockPage> page_at(const BpfPlace& place);

// The processes of that page are no targets any more. A pinned engine without targets ends.
Status leave(const BpfPlace& place);
// Pinned engines whose targets have all ended.
void end_unused(const Engines& engines);

}  // namespace time_chaos::experiment
