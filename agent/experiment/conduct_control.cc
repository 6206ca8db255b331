// What a running experiment does when it is asked.
#include <fmt/format.h>

#include <array>
#include <set>

#include "agent/clock/clock_set.h"
#include "agent/experiment/conductor.h"
#include "agent/experiment/page_words.h"

namespace time_chaos::experiment {
namespace {

std::pair<uint32_t, uint32_t> key_of(const BpfPlace& place) {
  return {place.engine->id(), place.page};
}

}  // namespace

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
  // Families share pages, and what is told it twice steps twice.
  std::set<std::string> pages;
  std::set<std::pair<uint32_t, uint32_t>> places;
  for (const Running& running : running_) {
    const auto& [identity, place] = running.family;
    if (!identity.empty() && pages.contains(identity)) continue;
    if (place && places.contains(key_of(*place))) continue;
    const auto members = members_of(running);
    const auto page =
        members.empty() && side_ ? side_->followed_page(running.process.pid()) : nullptr;
    if (members.empty() && !page && !(place && followers_)) continue;
    if (!identity.empty()) pages.insert(identity);
    if (place) places.insert(key_of(*place));
    // Those that have it in their memory come first; what they executed has it in the BPF engine,
    // or is followed by us.
    note(page              ? change_followed(running, *page, spec)
         : members.empty() ? change_for_followers(running, spec)
                           : change(members.front(), spec));
  }
  const auto* following = side_ ? side_->following() : nullptr;
  const bool traced = following != nullptr && !following->idle();
  if (outcome.changed.empty() && outcome.failed.empty() &&
      (traced || (!followers_ && !nobody_lives()))) {
    note(fail(Exit::kFailed, "cannot set: nobody is left that has the clock page",
              "end the agent, and start it anew"));
  }
  if (!outcome.failed.empty() && outcome.changed.empty()) return outcome;
  // Those who come later: like the others, or, where nobody is left, as it was asked for.
  if (spec.clocks.empty()) spec.clocks = request_.clocks.clocks;
  request_.clocks = std::move(spec);
  if (followers_ && nobody_lives()) followers_->forget_models();
  return outcome;
}

// Of programs that a target has executed, when nobody else has its page any more.
Result<Changed> Conductor::change_followed(const Running& running, FollowedPage& page,
                                           const clock::ClockSpec& spec) {
  auto changed = page.change(spec);
  if (!changed) {
    return fail(changed.error().because_of(
        fmt::format("cannot set what {} has executed", running.process.label())));
  }
  side_->begin_waits_anew();
  changed->pid = running.process.pid();
  changed->command = running.process.name();
  return changed;
}

// Of a target that has ended, before the next one has come.
Result<Changed> Conductor::change_for_followers(const Running& ended,
                                                const clock::ClockSpec& spec) {
  const auto changed = [&]() -> Result<Changed> {
    TC_TRY(auto page, page_at(*ended.family.place));
    return experiment::change(page, spec);
  }();
  if (!changed) {
    return fail(changed.error().because_of(
        fmt::format("cannot set what comes after {}", ended.process.label())));
  }
  Changed named = *changed;
  named.pid = ended.process.pid();
  named.command = ended.process.name();
  named.ended = true;
  return named;
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

void Conductor::Counted::add(pid_t pid, const std::optional<BpfPlace>& place) {
  if (place) places.emplace(key_of(*place), *place);
  pids.insert(pid);
}

// Every page and every target once: what came later may share a page, or have the one of somebody
// who is gone.
void Conductor::add_calls(Telemetry& telemetry) const {
  std::array<Telemetry::Calls, TC_CLOCK_COUNT> bpf;
  std::array<Telemetry::Calls, TC_CLOCK_COUNT> ptrace;
  Telemetry::Calls unknown{"ptrace", "", 0, 0};
  Counted counted = still_counted_;
  for (const Running& running : running_) {
    counted.add(running.process.pid(), running.family.place);
  }
  for (const auto& [key, place] : counted.places) {
    const auto counts = place.engine->counts(place.page);
    for (size_t clock = 0; clock < bpf.size(); clock++) {
      bpf[clock].shifted += counts[clock].done;
      bpf[clock].refused += counts[clock].refused;
    }
  }
  const auto* following = side_->following();
  for (const pid_t pid : counted.pids) {
    if (following == nullptr) break;
    const auto counters = following->counters(pid);
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
