// What a running experiment does when it is asked.
#include <algorithm>
#include <set>

#include "agent/experiment/conductor.h"

namespace time_chaos::experiment {

Control::Outcome Conductor::set(clock::ClockSpec spec) {
  Outcome outcome;
  spec.start = clock::read_host_clocks();  // one instant for all of them
  const auto note = [&](Result<Changed> changed) {
    if (changed) {
      events_.changed(*changed);
      return outcome.changed.push_back(std::move(*changed));
    }
    events_.failed(changed.error());
    outcome.failed.push_back(changed.error());
  };
  std::set<std::string> pages;  // families share one, and what is told it twice steps twice
  for (const Running& running : running_) {
    const std::string& identity = running.family.page_identity;
    if (!identity.empty() && !pages.insert(identity).second) continue;
    const auto members = members_of(running);
    const auto with_pages =
        std::find_if(members.begin(), members.end(), [](const Carrier& c) { return !c.executed; });
    if (with_pages != members.end()) {
      note(change(*with_pages, spec));
    } else if (running.family.place && followers_) {
      auto page = page_at(*running.family.place);
      if (page) (void)change(*page, spec);
    }
  }
  if (!outcome.failed.empty() && outcome.changed.empty()) return outcome;
  // Those who come later: like the others, or, where nobody is left, as it was asked for.
  if (spec.clocks.empty()) spec.clocks = request_.clocks.clocks;
  request_.clocks = std::move(spec);
  if (followers_ && nobody_lives()) followers_->forget_models();
  return outcome;
}

void Conductor::end() {
  stopped_ = true;
}

void Conductor::complain(const Error& error) {
  events_.failed(error);
}

std::vector<int> Conductor::asker_fds() const {
  std::vector<int> fds;
  for (const Asker* asker : askers_) fds.push_back(asker->fd());
  return fds;
}

}  // namespace time_chaos::experiment
