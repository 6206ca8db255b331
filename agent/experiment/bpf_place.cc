#include "agent/experiment/bpf_place.h"

#include <linux/capability.h>

#include <algorithm>

#include "agent/syscalls/bpf_pins.h"
#include "agent/syscalls/bpf_processes.h"
#include "agent/targets/machine.h"

namespace time_chaos::experiment {

using syscalls::BpfState;

Engines running_engines() {
  Engines engines;
  for (BpfState& state : syscalls::running_engines()) {
    engines.push_back(std::make_shared<const BpfState>(std::move(state)));
  }
  return engines;
}

bool engines_visible() {
  const auto machine = targets::read_machine();
  return machine && machine->has(CAP_SYS_ADMIN) && machine->initial_user_namespace;
}

std::optional<BpfPlace> place_of(pid_t pid, const tc_clock_page& page, const Engines& engines) {
  if (page.twin == 0) return std::nullopt;
  auto place = place_of(pid, engines);
  if (!place) return std::nullopt;
  const auto copy = place->engine->page(place->page);
  if (copy.magic != TC_PAGE_MAGIC || copy.twin != page.twin) return std::nullopt;
  return place;
}

std::optional<BpfPlace> place_of(pid_t pid, const Engines& engines) {
  if (engines.empty()) return std::nullopt;
  const auto process = syscalls::kernel_process(pid);
  if (!process) return std::nullopt;
  for (const Engine& engine : engines) {
    const auto entry = engine->find(*process);
    if (entry && (entry->flags & TC_BPF_UNCOUNTED) == 0) return BpfPlace{engine, entry->page};
  }
  return std::nullopt;
}

namespace {

template <typename Wanted>
std::vector<pid_t> processes_with(const Engines& engines, Wanted wanted) {
  std::vector<pid_t> pids;
  const bool any = std::any_of(engines.begin(), engines.end(),
                               [](const Engine& engine) { return !engine->targets().empty(); });
  const auto processes =
      any ? syscalls::kernel_processes() : Result<std::vector<syscalls::KernelProcess>>();
  if (!processes) return pids;
  for (const auto& process : *processes) {
    const bool target = std::any_of(engines.begin(), engines.end(), [&](const Engine& engine) {
      const auto entry = engine->find(process);
      return entry && (entry->flags & TC_BPF_UNCOUNTED) == 0 && wanted(*entry);
    });
    if (target) pids.push_back(process.pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

}  // namespace

std::vector<pid_t> processes_in(const Engines& engines) {
  return processes_with(engines, [](const tc_bpf_target&) { return true; });
}

std::vector<pid_t> processes_of(const BpfPlace& place) {
  return processes_with({place.engine},
                        [&](const tc_bpf_target& entry) { return entry.page == place.page; });
}

bool was_executed(pid_t pid, const BpfPlace& place) {
  const auto process = syscalls::kernel_process(pid);
  const auto entry = process ? place.engine->find(*process) : std::nullopt;
  return entry && (entry->flags & TC_BPF_EXECED) != 0;
}

bool came_by_itself(pid_t pid, const BpfPlace& place) {
  const auto process = syscalls::kernel_process(pid);
  const auto entry = process ? place.engine->find(*process) : std::nullopt;
  return entry && (entry->flags & TC_BPF_EXECED) != 0 && (entry->flags & TC_BPF_FORKED) == 0;
}

Result<vdso::ClockPage> page_at(const BpfPlace& place) {
  return vdso::ClockPage::over(place.engine->pages_fd(), uint64_t{place.page} * TC_PAGE_SIZE);
}

Status leave(const BpfPlace& place) {
  // Again while there are any: a target may fork meanwhile.
  for (int round = 0; round < 10; round++) {
    bool left = false;
    for (const auto& [tgid, target] : place.engine->targets()) {
      if (target.page != place.page) continue;
      TC_CHECK(place.engine->drop(tgid));
      left = true;
    }
    if (!left) {
      end_unused({place.engine});
      return {};
    }
  }
  return fail(Exit::kFailed, "it forks faster than its entries in the BPF engine can be removed",
              "try again");
}

void end_unused(const Engines& engines) {
  for (const Engine& engine : engines) {
    if (syscalls::is_pinned(engine->id()) && engine->targets().empty()) {
      (void)syscalls::unpin(engine->id());
    }
  }
}

}  // namespace time_chaos::experiment
