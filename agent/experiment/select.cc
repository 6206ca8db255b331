#include "agent/experiment/select.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "agent/experiment/bpf_place.h"
#include "agent/targets/cgroup.h"

namespace time_chaos::experiment {
namespace {

Result<std::vector<Carrier>> all_carriers(const Engines& engines) {
  std::vector<Carrier> carriers;
  const std::vector<pid_t> entries = processes_in(engines);
  for (const pid_t pid : targets::list_processes()) {
    const bool entered = std::binary_search(entries.begin(), entries.end(), pid);
    // Not permitted, or gone: not ours to see.
    const auto found = entered ? Result<std::optional<vdso::Found>>() : vdso::find_experiment(pid);
    if (!entered && (!found || !*found)) continue;
    auto process = targets::Process::open(pid);
    if (!process) continue;
    auto carrier = carrier_of(std::move(*process), engines);
    if (carrier && *carrier) carriers.push_back(std::move(**carrier));
  }
  return carriers;
}

bool wanted(const Selection& selection, const Carrier& carrier) {
  const auto has = [](const auto& list, const auto& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  return selection.all || has(selection.experiments, carrier.experiment()) ||
         has(selection.pids, carrier.process.pid()) || has(selection.names, carrier.process.name());
}

}  // namespace

Result<std::vector<targets::Process>> select(const Selection& selection) {
  if (selection.empty()) {
    return fail(Exit::kUsage, "no target given", "use --pid N, --name COMM or --cgroup PATH");
  }
  std::vector<targets::Process> processes;
  std::set<pid_t> seen;
  for (const pid_t pid : selection.pids) {
    if (!seen.insert(pid).second) continue;
    TC_TRY(auto process, targets::Process::open(pid));
    processes.push_back(std::move(process));
  }
  for (const std::string& name : selection.names) {
    const std::vector<pid_t> pids = targets::find_by_name(name);
    if (pids.empty()) return fail(Exit::kNoTarget, fmt::format("no process named {}", name));
    for (const pid_t pid : pids) {
      if (!seen.insert(pid).second) continue;
      auto process = targets::Process::open(pid);
      if (process) processes.push_back(std::move(*process));
    }
  }
  for (const std::string& path : selection.cgroups) {
    TC_TRY(const targets::Cgroup cgroup, targets::find_cgroup(path));
    const std::vector<pid_t> pids = targets::processes_in(cgroup);
    if (pids.empty()) return fail(Exit::kNoTarget, fmt::format("no process in {}", path));
    for (const pid_t pid : pids) {
      if (!seen.insert(pid).second) continue;
      auto process = targets::Process::open(pid);
      if (process) processes.push_back(std::move(*process));
    }
  }
  return processes;
}

Result<std::vector<Carrier>> select_carriers(const Selection& selection) {
  std::vector<Carrier> carriers;
  const Engines engines = running_engines();
  if (selection.empty() || selection.all || !selection.experiments.empty()) {
    TC_TRY(carriers, all_carriers(engines));
    if (selection.empty() || selection.all) return carriers;
    std::erase_if(carriers, [&](const Carrier& c) { return !wanted(selection, c); });
    for (const std::string& name : selection.experiments) {
      const bool any = std::any_of(carriers.begin(), carriers.end(),
                                   [&](const Carrier& c) { return c.experiment() == name; });
      if (!any) return fail(Exit::kNoTarget, fmt::format("no experiment named {}", name));
    }
  }
  if (selection.pids.empty() && selection.names.empty() && selection.cgroups.empty()) {
    return carriers;
  }
  TC_TRY(auto processes, select({selection.pids, selection.names, selection.cgroups, {}, false}));
  for (targets::Process& process : processes) {
    const bool known = std::any_of(carriers.begin(), carriers.end(), [&](const Carrier& c) {
      return c.process.pid() == process.pid();
    });
    if (known) continue;
    TC_TRY(auto carrier, carrier_of(std::move(process), engines));
    if (carrier) carriers.push_back(std::move(*carrier));
  }
  return carriers;
}

}  // namespace time_chaos::experiment
