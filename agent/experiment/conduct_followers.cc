// Those who come later: found, shifted by the same steps and with the same refusals as the first,
// and shown what the others show.
#include <unistd.h>

#include <algorithm>

#include "agent/experiment/conductor.h"

namespace time_chaos::experiment {

using std::chrono::steady_clock;

void Conductor::listen_for_followers() {
  if (!request_.targets.open_ended() || request_.detach || followers_) return;
  followers_.emplace(Followers::listen(request_.targets, *selectors_));
}

Status Conductor::follow_selectors() {
  if (!followers_) return {};
  const auto& arrivals = followers_->arrivals();
  std::vector<FollowWay> ways;
  bool names_by_bpf = true;
  for (size_t i = 0; i < arrivals.selectors().size(); i++) {
    const targets::Selector& selector = arrivals.selectors()[i];
    const Running& first = first_of(selector);
    set_model(i, first);
    bool by_bpf = false;
    if (first.family.place) {
      TC_TRY(by_bpf, side_->follow(selector, *first.family.place));
    }
    if (selector.by_name() && !by_bpf) names_by_bpf = false;
    FollowWay way{selector.text(), by_bpf ? FollowWay::How::kBpf : FollowWay::How::kLooks, "",
                  selector.cgroup.has_value(), targets::Arrivals::period_of(selector)};
    if (!by_bpf && arrivals.by_events()) way.how = FollowWay::How::kEvents;
    if (way.how == FollowWay::How::kLooks) way.why = arrivals.why_not();
    ways.push_back(std::move(way));
  }
  if (names_by_bpf) followers_->leave_names_to_bpf();
  notice_ = publish(ways);
  for (const FollowWay& way : ways) events_.follows(way);
  return {};
}

// Where it has ended already, another one is as good.
const Conductor::Running& Conductor::first_of(const targets::Selector& selector) const {
  const auto members = selector.members().value_or(std::vector<pid_t>());
  const auto found = std::find_if(running_.begin(), running_.end(), [&](const Running& running) {
    return std::binary_search(members.begin(), members.end(), running.process.pid());
  });
  return found != running_.end() ? *found : running_.front();
}

void Conductor::set_model(size_t selector, const Running& running) {
  Followers::Model model{nullptr, running.family.place, running.program};
  const auto found = vdso::find_experiment(running.process.pid());
  if (found && *found) {
    auto page = FollowedPage::open(running.process.pid(), **found);
    if (page) model.page = std::move(*page);
  }
  if (model.page || model.place) followers_->set_model(selector, std::move(model));
}

void Conductor::meet_followers(std::optional<Moment> end) {
  if (!followers_) return;
  for (const Followers::Candidate& candidate : followers_->look()) meet(candidate, end);
}

void Conductor::meet(const Followers::Candidate& candidate, std::optional<Moment> end) {
  if (serves(candidate)) return followers_->settle(candidate.process);
  ShiftRequest request = request_;
  request.continued = followers_->shown(candidate.selector, request_.experiment);
  if (end) request.duration = *end - steady_clock::now();
  const Status taken = take_in(candidate, request);
  if (taken) return followers_->settle(candidate.process);
  // Neither an end nor a moment in which it cannot be shifted yet is a refusal.
  if (!candidate.process.alive()) return;
  if (followers_->refuse(candidate.process, taken.error())) fail_with(taken.error());
}

// By ptrace, by a page that it has from its parent, or by BPF.
bool Conductor::serves(const Followers::Candidate& candidate) {
  const targets::Process& process = candidate.process;
  const auto is_it = [&](const Running& running) {
    return !running.gone && running.process.pid() == process.pid() &&
           running.process.start_time() == process.start_time();
  };
  const bool running = std::any_of(running_.begin(), running_.end(), is_it);
  const auto status = targets::read_status(process.pid());
  if (status && status->tracer != 0) {
    const auto tracer = targets::read_status(status->tracer);
    if (tracer && tracer->tgid == ::getpid()) return true;
  }
  auto held = targets::Process::open(process.pid());
  if (!held) return true;  // it has ended
  const auto carrier = carrier_of(std::move(*held), side_->engines());
  if (!carrier || !*carrier || (*carrier)->experiment() != request_.experiment) return false;
  // A forked child that has been given its own clock back has the page, too.
  if ((*carrier)->found.state != vdso::State::kShifted) return !request_.children;
  if (running || !(*carrier)->bpf || !came_by_itself(process.pid(), *(*carrier)->bpf)) return true;
  // Entered by BPF, before its first instruction.
  auto same = targets::Process::open(process.pid());
  if (!same) return true;
  events_.appeared(process.pid(), process.name(),
                   followers_->arrivals().selectors()[candidate.selector].text(), true);
  running_.push_back({std::move(*same), family_name(**carrier), false, running_.front().program});
  return true;
}

Status Conductor::take_in(const Followers::Candidate& candidate, const ShiftRequest& request) {
  forget_ended();
  TC_TRY(targets::Process process, targets::Process::open(candidate.process.pid()));
  const pid_t pid = process.pid();
  if (process.start_time() != candidate.process.start_time()) {
    return fail(Exit::kNoTarget, "it has ended");
  }
  TC_TRY(const size_t place, side_->free_place());
  TC_TRY(PlannedTarget planned, plan_target(std::move(process), request, side_->choice()));
  TC_TRY(const Shifted shifted, shift_target(planned, request, *side_, place));
  // What it was before it executed the present program.
  for (Running& earlier : running_) {
    if (earlier.process.pid() == pid) earlier.gone = true;
  }
  FamilyName family{std::move(planned.page_identity), planned.bpf};
  running_.push_back({std::move(planned.process), std::move(family), false, planned.maps.program});
  if (const Status followed = side_->follow_too(pid, request); !followed) {
    const Running refused = std::move(running_.back());
    running_.pop_back();
    still_counted_.add(pid, refused.family.place);
    for (const Carrier& member : members_of(refused)) {
      (void)recover_carrier(member, request_.force);
    }
    return fail(followed.error());
  }
  set_model(candidate.selector, running_.back());
  events_.appeared(pid, running_.back().process.name(),
                   followers_->arrivals().selectors()[candidate.selector].text(), false);
  note_shifted(shifted);
  if (const auto* following = side_->following()) {
    events_.following(pid, following->counters(pid));
  }
  return {};
}

void Conductor::forget_ended() {
  const auto* following = side_->following();
  std::erase_if(running_, [&](const Running& running) {
    if (!running.gone || &running == &running_.back()) return false;
    const pid_t pid = running.process.pid();
    if (following != nullptr && following->counters(pid).threads != 0) return false;
    if (!members_of(running).empty()) return false;
    if (following != nullptr) events_.followed(pid, following->counters(pid));
    still_counted_.add(running.process.pid(), running.family.place);
    return true;
  });
}

}  // namespace time_chaos::experiment
