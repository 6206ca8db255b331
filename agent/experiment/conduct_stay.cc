// While the experiment runs, and its end.
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "agent/experiment/change.h"
#include "agent/experiment/conductor.h"
#include "agent/experiment/waits_in_flight.h"

namespace time_chaos::experiment {

using std::chrono::steady_clock;

constexpr auto kWatchPeriod = std::chrono::milliseconds(100);
constexpr auto kMembersPeriod = std::chrono::milliseconds(1000);

void Conductor::stay(Lifetime& lifetime) {
  const auto end = request_.duration ? std::optional(began_ + *request_.duration) : std::nullopt;
  const auto renewal = request_.lease ? std::optional(*request_.lease / 4) : std::nullopt;
  auto next_renewal = renewal ? std::optional(began_ + *renewal) : std::nullopt;
  auto next_refill = refill_due(steady_clock::now());
  const auto period = events_.tick_period();
  // Whom our tracer follows nobody else can stop.
  if (request_.detour == vdso::Detour::kPlt && side_->following() == nullptr)
    next_watch_ = steady_clock::now();
  for (;;) {
    const auto now = steady_clock::now();
    if (end && now >= *end) return;
    if ((next_renewal && now >= *next_renewal) || (next_refill && now >= *next_refill)) {
      renew_all(end);
      if (renewal) next_renewal = now + *renewal;
      next_refill = refill_due(now);
    }
    meet_followers(end);
    watch_slots(now);
    if (followers_ && followers_->over(nobody_lives(), request_.wait)) return;
    auto wake = end;
    const auto next_look = followers_ ? followers_->due() : std::nullopt;
    for (const auto& next : {next_renewal, next_refill, next_look, next_watch_}) {
      if (next && (!wake || *next < *wake)) wake = next;
    }
    if (period) {
      events_.tick(end ? std::optional<Nanoseconds>(*end - now) : std::nullopt);
      wake = std::min(wake.value_or(now + *period), now + *period);
    }
    auto fds = pidfds();
    const size_t asked = fds.size();
    for (const int fd : asker_fds()) fds.push_back(fd);
    const auto event = lifetime.wait(wake, fds);
    if (!event || event->kind == Lifetime::Event::Kind::kSignal) return;
    if (event->kind == Lifetime::Event::Kind::kChanged) side_->begin_waits_anew();
    if (event->kind == Lifetime::Event::Kind::kTargetEnded && event->target >= asked) {
      askers_[event->target - asked]->attend(*this);
      if (stopped_) return;
    } else if (event->kind == Lifetime::Event::Kind::kTargetEnded) {
      if (event->target < running_.size()) note_end(event->target);
      if (!anyone_left()) return;
    }
  }
}

void Conductor::watch_slots(Moment now) {
  if (!next_watch_ || now < *next_watch_) return;
  next_watch_ = now + kWatchPeriod;
  if (now >= members_due_) {
    members_due_ = now + kMembersPeriod;
    std::vector<vdso::PltWatch> watched;
    for (const Running& running : running_) {
      for (const Carrier& member : members_of(running)) {
        const pid_t pid = member.process.pid();
        const auto is_it = [&](const vdso::PltWatch& watch) { return watch.pid() == pid; };
        if (std::any_of(watched.begin(), watched.end(), is_it)) continue;
        const auto known = std::find_if(watched_.begin(), watched_.end(), is_it);
        watched.push_back(known != watched_.end() ? *known : vdso::PltWatch(pid, request_.modules));
      }
    }
    watched_ = std::move(watched);
  }
  // One that has ended, or cannot be looked at now, is looked at again.
  for (vdso::PltWatch& watch : watched_) {
    const auto led = watch.look();
    if (led && *led != 0) events_.loaded(watch.pid(), *led);
  }
}

void Conductor::note_end(size_t target) {
  Running& ended = running_[target];
  ended.gone = true;
  events_.gone(ended.process.pid(), ended.process.name());
}

// And of the tracer, which says when nobody is left; and of what announces followers.
std::vector<int> Conductor::pidfds() {
  std::vector<int> fds;
  for (const Running& r : running_) fds.push_back(r.gone ? -1 : r.process.pidfd());
  if (followers_) {
    fds.push_back(followers_->fd());
  } else if (const auto* following = side_->following()) {
    fds.push_back(following->idle_fd());
  }
  return fds;
}

bool Conductor::nobody_lives() const {
  return std::all_of(running_.begin(), running_.end(), [](const Running& r) { return r.gone; });
}

// Somebody whose clocks are ours to serve still lives, or may be started. Where no tracer follows
// the children of targets that have ended, they are targets of their own from here on.
bool Conductor::anyone_left() {
  if (!nobody_lives()) return true;
  if (followers_) return true;
  if (const auto* following = side_->following()) return !following->idle();
  std::vector<Running> heirs;
  for (const Running& ended : running_) {
    for (Carrier& heir : members_of(ended)) {
      const pid_t pid = heir.process.pid();
      const bool known = std::any_of(heirs.begin(), heirs.end(),
                                     [&](const auto& r) { return r.process.pid() == pid; });
      if (!known) heirs.push_back({std::move(heir.process), ended.family, false, ended.program});
    }
  }
  const bool any = !heirs.empty();
  std::move(heirs.begin(), heirs.end(), std::back_inserter(running_));
  return any;
}

// When the first of the targets needs the next part of its schedule.
std::optional<Conductor::Moment> Conductor::refill_due(Moment now) const {
  std::optional<Moment> due;
  for (const Running& running : running_) {
    if (!running.program) continue;
    const Nanoseconds place = now - began_;
    const auto after = running.program->refill_after(place.count());
    if (!after) continue;
    const auto moment = began_ + Nanoseconds(*after);
    if (!due || moment < *due) due = moment;
  }
  return due;
}

void Conductor::renew_all(std::optional<Moment> end) {
  std::optional<Nanoseconds> lease = request_.lease;
  if (end && lease) lease = std::min<Nanoseconds>(*lease, *end - steady_clock::now());
  clock::Programs programs;
  for (const Running& running : running_) {
    if (running.program) programs.push_back(running.program);
  }
  if (side_->following() != nullptr) {
    side_->renew_followed(lease, programs);
    // The next part of a schedule may show an earlier end, or the first.
    if (!programs.empty()) side_->begin_waits_anew();
    return;
  }
  for (const Running& running : running_) {
    const auto members = members_of(running);
    if (!members.empty()) {
      const clock::ClockMaps before = maps_in_force(members.front().bpf);
      (void)renew(members.front(), lease, programs);  // they share the page
      if (!programs.empty()) begin_waits_anew(members.front(), before);
    } else if (running.family.place && followers_) {
      // Between the end of a service and its restart.
      auto page = page_at(*running.family.place);
      if (page) (void)renew(*page, lease, programs);
    }
  }
}

// Those that carry a target's experiment: it, unless it has ended, and what came of it.
std::vector<Carrier> Conductor::members_of(const Running& running) const {
  return survivors(running.family, request_.experiment);
}

void Conductor::end_following() {
  auto* following = side_->following();
  if (following == nullptr) return;
  side_->stop_following();
  for (const Running& running : running_) {
    const pid_t pid = running.process.pid();
    events_.followed(pid, following->counters(pid));
  }
  for (const pid_t pid : following->released()) report_released(pid);
  side_->end_following();
}

void Conductor::report_released(pid_t pid) {
  const auto process = targets::Process::open(pid);
  const auto status = targets::read_status(pid);
  if (!process || !process->alive() || !status) return;  // it has ended meanwhile
  if (status->tracer == 0) return events_.released(pid, process->name());
  fail_with(Error(Exit::kFailed, fmt::format("cannot let go of {}", process->label()),
                  "its system calls are real when this agent has ended"));
}

void Conductor::recover_all() {
  side_->unfollow();
  std::set<pid_t> done;
  for (const Running& running : running_) {
    if (!running.gone && !running.process.alive()) {
      events_.gone(running.process.pid(), running.process.name());
    }
    for (const Carrier& member : members_of(running)) {
      if (done.insert(member.process.pid()).second) recover(member);
    }
  }
}

void Conductor::recover(const Carrier& member) {
  auto recovered = recover_carrier(member, request_.force);
  if (recovered) return events_.recovered(*recovered);
  if (member.process.alive()) return fail_with(recovered.error());
  events_.gone(member.process.pid(), member.process.name());
}

}  // namespace time_chaos::experiment
