// What a running experiment does when it is asked.
#include <algorithm>
#include <array>
#include <set>

#include "agent/clock/clock_set.h"
#include "agent/experiment/conductor.h"
#include "agent/experiment/page_words.h"

namespace time_chaos::experiment {

Control::Outcome Conductor::set(clock::ClockSpec spec) {
  Outcome outcome;
  spec.start = clock::read_host_clocks();  // one instant for all of them
  const auto note = [&](Result<Changed> changed) {
    if (changed) {
      so_far_.changes++;
      events_.changed(*changed);
      return outcome.changed.push_back(std::move(*changed));
    }
    complain(changed.error());
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

Telemetry Conductor::telemetry() {
  Telemetry now = so_far_;
  now.experiment = request_.experiment;
  for (const Running& running : running_) {
    if (running.gone) continue;
    now.targets++;
    if (now.in_force) continue;
    const auto members = members_of(running);
    if (members.empty()) continue;
    const tc_clock_page& page = members.front().found.page;
    const auto host = clock::read_host_clocks();
    const auto maps = clock::maps_in_force(page);
    now.in_force = members.front().found.state == vdso::State::kShifted;
    for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
      if (!clock::ClockSet(page.clocks).has(clock)) continue;
      const clock::ClockSet one(1U << static_cast<unsigned>(clock));
      now.offsets.emplace_back(clock::clock_name(clock), first_shift(maps, one, host));
    }
  }
  if (side_) add_calls(now);
  measure_self(now);
  return now;
}

// Every page and every target once: what came later may share a page.
void Conductor::add_calls(Telemetry& telemetry) const {
  std::array<Telemetry::Calls, TC_CLOCK_COUNT> bpf;
  std::array<Telemetry::Calls, TC_CLOCK_COUNT> ptrace;
  Telemetry::Calls unknown{"ptrace", "", 0, 0};
  std::set<uint32_t> places;
  std::set<pid_t> pids;
  for (const Running& running : running_) {
    const auto& place = running.family.place;
    if (place && places.insert(place->page).second) {
      const auto counts = place->engine->counts(place->page);
      for (size_t clock = 0; clock < bpf.size(); clock++) {
        bpf[clock].shifted += counts[clock].done;
        bpf[clock].refused += counts[clock].refused;
      }
    }
    const auto* following = side_->following();
    if (following == nullptr || !pids.insert(running.process.pid()).second) continue;
    const auto counters = following->counters(running.process.pid());
    for (size_t clock = 0; clock < ptrace.size(); clock++) {
      ptrace[clock].shifted += counters.by_clock[clock];
    }
    unknown.refused += counters.failed;
    telemetry.refused_sets += counters.refused;
  }
  for (auto* calls : {&bpf, &ptrace}) {
    for (size_t clock = 0; clock < calls->size(); clock++) {
      Telemetry::Calls& one = (*calls)[clock];
      if (one.shifted + one.refused == 0) continue;
      one.engine = calls == &bpf ? "bpf" : "ptrace";
      one.clock = clock::clock_name(static_cast<int>(clock));
      telemetry.calls.push_back(one);
    }
  }
  if (unknown.refused != 0) telemetry.calls.push_back(unknown);
}

void Conductor::end() {
  stopped_ = true;
}

void Conductor::complain(const Error& error) {
  so_far_.failures++;
  events_.failed(error);
}

std::vector<int> Conductor::asker_fds() const {
  std::vector<int> fds;
  for (const Asker* asker : askers_) fds.push_back(asker->fd());
  return fds;
}

}  // namespace time_chaos::experiment
