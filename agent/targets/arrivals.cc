#include "agent/targets/arrivals.h"

#include <unistd.h>

#include <algorithm>

#include "agent/targets/process.h"

namespace time_chaos::targets {

std::string Selector::text() const {
  return cgroup ? "--cgroup " + cgroup->directory : "--name " + name;
}

Arrivals::Arrivals(std::vector<Selector> selectors) : selectors_(std::move(selectors)) {
  auto events = ProcessEvents::listen();
  if (events) {
    events_.emplace(std::move(*events));
  } else {
    why_not_ = events.error().message();
  }
}

std::optional<std::chrono::seconds> Arrivals::period() const {
  const bool moved_into = std::any_of(selectors_.begin(), selectors_.end(),
                                      [](const Selector& s) { return s.cgroup.has_value(); });
  if (events_ && !moved_into) return std::nullopt;
  return kPeriod;
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
    const Selector& selector = selectors_[i];
    const auto pids =
        selector.cgroup ? processes_in(*selector.cgroup) : find_by_name(selector.name);
    for (const pid_t pid : pids) list.push_back({pid, i, false});
  }
}

void Arrivals::add(const std::vector<pid_t>& pids, std::vector<Arrival>& list) const {
  if (pids.empty()) return;
  for (size_t i = 0; i < selectors_.size(); i++) {
    const Selector& selector = selectors_[i];
    if (selector.cgroup) {
      const std::vector<pid_t> members = processes_in(*selector.cgroup);
      for (const pid_t pid : pids) {
        if (std::binary_search(members.begin(), members.end(), pid)) list.push_back({pid, i, true});
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
