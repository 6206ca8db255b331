#include "agent/targets/arrivals.h"

#include <unistd.h>

#include <algorithm>

#include "agent/targets/process.h"

namespace time_chaos::targets {

std::string Selector::text() const {
  if (all_but_ours) return "--all-but-me";
  if (containers) return containers->query().text();
  return cgroup ? "--cgroup " + cgroup->directory : "--name " + name;
}

Result<std::vector<pid_t>> Selector::members() const {
  if (all_but_ours) return targets::all_but_ours();
  if (containers) return containers->processes();
  return cgroup ? processes_in(*cgroup) : find_by_name(name);
}

Arrivals::Arrivals(std::vector<Selector> selectors) : selectors_(std::move(selectors)) {
  auto events = ProcessEvents::listen();
  if (events) {
    events_.emplace(std::move(*events));
  } else {
    why_not_ = events.error().message();
  }
}

std::chrono::milliseconds Arrivals::period_of(const Selector& selector) {
  return selector.containers || selector.all_but_ours ? kContainerPeriod : kPeriod;
}

std::optional<std::chrono::milliseconds> Arrivals::period() const {
  std::optional<std::chrono::milliseconds> period;
  for (const Selector& selector : selectors_) {
    if (events_ && !selector.cgroup) continue;
    period = std::min(period.value_or(kPeriod), period_of(selector));
  }
  return period;
}

std::vector<Arrival> Arrivals::take(bool all) {
  std::vector<Arrival> list;
  if (events_) {
    auto news = events_->take();
    add(news.pids, list);
    all = all || news.lost;
  }
  if (all) add_all(list);
  return list;
}

void Arrivals::add_all(std::vector<Arrival>& list) const {
  for (size_t i = 0; i < selectors_.size(); i++) {
    const auto pids = selectors_[i].members();
    if (!pids) continue;  // said at the start
    for (const pid_t pid : *pids) list.push_back({pid, i, false});
  }
}

void Arrivals::add(const std::vector<pid_t>& pids, std::vector<Arrival>& list) const {
  if (pids.empty()) return;
  for (size_t i = 0; i < selectors_.size(); i++) {
    const Selector& selector = selectors_[i];
    if (!selector.by_name()) {
      const auto members = selector.members();
      for (const pid_t pid : pids) {
        if (members && std::binary_search(members->begin(), members->end(), pid)) {
          list.push_back({pid, i, true});
        }
      }
      continue;
    }
    for (const pid_t pid : pids) {
      const auto stat = read_stat(pid);
      if (!stat || stat->kernel_thread || stat->state == 'Z' || stat->state == 'X') continue;
      if (pid == ::getpid() || stat->name != selector.name.substr(0, kCommLength)) continue;
      list.push_back({pid, i, true});
    }
  }
}

}  // namespace time_chaos::targets
