#include "agent/experiment/select.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agent/experiment/bpf_place.h"
#include "agent/experiment/executed.h"
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

// Nothing carries it any more but programs that were executed.
bool is_executed(const std::string& experiment) {
  const std::vector<Node> programs = executed_programs();
  return std::any_of(programs.begin(), programs.end(), [&](const Node& program) {
    return program.carrier.experiment() == experiment;
  });
}

Error nobody(const targets::Selector& selector, const char* remedy) {
  // The first process of a pid namespace of its own, as a container's in a pod that shares none.
  if (::getpid() == 1) {
    remedy =
        "this container sees its own processes only: set shareProcessNamespace: true in its pod "
        "(or hostPID: true)";
  }
  if (selector.by_name()) {
    return Error(Exit::kNoTarget, fmt::format("no process named {}", selector.name), remedy);
  }
  if (selector.cgroup) {
    return Error(Exit::kNoTarget, fmt::format("no process in {}", selector.cgroup->directory),
                 remedy);
  }
  if (selector.all_but_ours)
    return Error(Exit::kNoTarget, "no other process is to be seen", remedy);
  return Error(Exit::kNoTarget, fmt::format("no process of {}", selector.text()), remedy);
}

}  // namespace

Result<std::vector<targets::Selector>> Selection::selectors() const {
  std::vector<targets::Selector> list;
  for (const std::string& name : names) list.push_back({name, std::nullopt});
  for (const std::string& path : cgroups) {
    TC_TRY(targets::Cgroup cgroup, targets::find_cgroup(path));
    list.push_back({"", std::move(cgroup)});
  }
  for (const targets::ContainerQuery& query : containers) {
    list.push_back({"", std::nullopt, std::make_shared<targets::Containers>(query)});
  }
  if (all_but_me) list.push_back({"", std::nullopt, nullptr, true});
  return list;
}

Result<std::vector<targets::Process>> select(const Selection& selection) {
  TC_TRY(const auto selectors, selection.selectors());
  return select(selection, selectors, "start it");
}

Result<std::vector<targets::Process>> select(const Selection& selection,
                                             const std::vector<targets::Selector>& selectors,
                                             const char* remedy) {
  if (selection.empty()) {
    return fail(Exit::kUsage, "no target given",
                "use --pid N, --name COMM, --cgroup PATH or --container ID");
  }
  std::vector<targets::Process> processes;
  std::set<pid_t> seen;
  for (const pid_t pid : selection.pids) {
    if (!seen.insert(pid).second) continue;
    TC_TRY(auto process, targets::Process::open(pid));
    processes.push_back(std::move(process));
  }
  for (const targets::Selector& selector : selectors) {
    TC_TRY(const std::vector<pid_t> pids, selector.members());
    if (pids.empty()) return fail(nobody(selector, remedy));
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
      if (!any && !is_executed(name))
        return fail(Exit::kNoTarget, fmt::format("no experiment named {}", name));
    }
  }
  if (selection.pids.empty() && !selection.open_ended()) return carriers;
  Selection others = selection;
  others.experiments.clear();
  others.all = false;
  TC_TRY(auto processes, select(others));
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
