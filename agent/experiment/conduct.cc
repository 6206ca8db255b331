#include "agent/experiment/conduct.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "agent/experiment/change.h"
#include "agent/experiment/following.h"
#include "agent/experiment/select.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::steady_clock;

struct Running {
  targets::Process process;
  bool gone = false;
};

class Conductor {
 public:
  Conductor(const ShiftRequest& request, Events& events) : request_(request), events_(events) {}

  Exit run(bool dry_run) {
    // Before anything changes: an interrupt in the middle must not leave a target half-way.
    auto lifetime = Lifetime::begin();
    if (!lifetime) return refuse(lifetime.error());
    auto planned = plan();
    if (!planned) return refuse(planned.error());
    if (dry_run) {
      for (const PlannedTarget& target : *planned) events_.planned(target);
      return Exit::kOk;
    }
    began_ = steady_clock::now();
    for (PlannedTarget& target : *planned) shift(target);
    if (running_.empty()) return worst_;
    if (auto following = follow_syscalls(); !following) {
      fail_with(following.error());
      recover_all();
      return worst_;
    }
    if (!request_.detach) {
      stay(*lifetime);
      end_following();
      recover_all();
    }
    return worst_ == Exit::kOk ? Exit::kOk : (good_ > 0 ? Exit::kPartial : worst_);
  }

 private:
  Exit refuse(const Error& error) {
    events_.failed(error);
    return error.kind();
  }

  void fail_with(const Error& error) {
    events_.failed(error);
    worst_ = error.kind();
  }

  Result<std::vector<PlannedTarget>> plan() {
    TC_TRY(auto processes, select(request_.targets));
    std::vector<PlannedTarget> planned;
    for (targets::Process& process : processes) {
      const bool by_name = std::find(request_.targets.pids.begin(), request_.targets.pids.end(),
                                     process.pid()) == request_.targets.pids.end();
      auto target = plan_target(std::move(process), request_);
      if (!target && target.error().kind() == Exit::kNoTarget && by_name) continue;
      if (!target) return fail(target.error());
      planned.push_back(std::move(*target));
    }
    if (planned.empty()) return fail(Exit::kNoTarget, "all processes of that name have ended");
    return planned;
  }

  void shift(PlannedTarget& target) {
    auto shifted = shift_target(target, request_);
    if (!shifted) return fail_with(shifted.error());
    good_++;
    events_.shifted(*shifted);
    running_.push_back({std::move(target.process), false});
  }

  Status follow_syscalls() {
    if (request_.syscalls != SyscallEngine::kPtrace) return {};
    std::vector<pid_t> pids;
    for (const Running& running : running_) pids.push_back(running.process.pid());
    TC_TRY(following_, follow(pids));
    for (const pid_t pid : pids) events_.following(pid, following_->counters(pid));
    return {};
  }

  void end_following() {
    if (!following_) return;
    following_->stop();
    for (const Running& running : running_) {
      const pid_t pid = running.process.pid();
      events_.followed(pid, following_->counters(pid));
    }
    following_.reset();
  }

  void stay(Lifetime& lifetime) {
    const auto end = request_.duration ? std::optional(began_ + *request_.duration) : std::nullopt;
    const auto renewal = request_.lease ? std::optional(*request_.lease / 4) : std::nullopt;
    auto next_renewal = renewal ? std::optional(began_ + *renewal) : std::nullopt;
    const auto period = events_.tick_period();
    for (;;) {
      const auto now = steady_clock::now();
      if (end && now >= *end) return;
      if (next_renewal && now >= *next_renewal) {
        renew_all(end);
        next_renewal = now + *renewal;
      }
      auto wake = end;
      if (next_renewal && (!wake || *next_renewal < *wake)) wake = next_renewal;
      if (period) {
        events_.tick(end ? std::optional<Nanoseconds>(*end - now) : std::nullopt);
        wake = std::min(wake.value_or(now + *period), now + *period);
      }
      const auto event = lifetime.wait(wake, pidfds());
      if (!event || event->kind == Lifetime::Event::Kind::kSignal) return;
      if (event->kind == Lifetime::Event::Kind::kTargetEnded) {
        Running& ended = running_[event->target];
        ended.gone = true;
        events_.gone(ended.process.pid(), ended.process.name());
        if (std::all_of(running_.begin(), running_.end(), [](const auto& r) { return r.gone; })) {
          return;
        }
      }
    }
  }

  [[nodiscard]] std::vector<int> pidfds() const {
    std::vector<int> fds;
    for (const Running& r : running_) fds.push_back(r.gone ? -1 : r.process.pidfd());
    return fds;
  }

  void renew_all(std::optional<steady_clock::time_point> end) {
    Nanoseconds lease = *request_.lease;
    if (end) lease = std::min<Nanoseconds>(lease, *end - steady_clock::now());
    for (const Running& running : running_) {
      if (running.gone) continue;
      auto carrier = carrier_of(running);
      if (carrier && mine(*carrier)) (void)renew(*carrier, lease);
    }
  }

  static Result<Carrier> carrier_of(const Running& running) {
    TC_TRY(auto found, vdso::find_experiment(running.process.pid()));
    if (!found) return fail(Exit::kNoTarget, "it carries no experiment any more");
    TC_TRY(auto process, targets::Process::open(running.process.pid()));
    if (process.start_time() != running.process.start_time()) {
      return fail(Exit::kNoTarget, "the process has ended");
    }
    return Carrier{std::move(process), std::move(*found)};
  }

  [[nodiscard]] bool mine(const Carrier& carrier) const {
    return carrier.experiment() == request_.experiment;
  }

  void recover_all() {
    for (const Running& running : running_) {
      if (running.gone) continue;
      auto carrier = carrier_of(running);
      if (!running.process.alive()) {
        events_.gone(running.process.pid(), running.process.name());
        continue;
      }
      if (!carrier || !mine(*carrier)) continue;  // somebody recovered it, or exec'd it away
      for (const Carrier& member : family(std::move(*carrier))) recover(member);
    }
  }

  void recover(const Carrier& member) {
    auto recovered = recover_carrier(member, request_.force);
    if (recovered) return events_.recovered(*recovered);
    if (member.process.alive()) return fail_with(recovered.error());
    events_.gone(member.process.pid(), member.process.name());
  }

  const ShiftRequest& request_;
  Events& events_;
  std::vector<Running> running_;
  std::unique_ptr<syscalls::PtraceEngine> following_;
  steady_clock::time_point began_;
  int good_ = 0;
  Exit worst_ = Exit::kOk;
};

}  // namespace

Exit conduct(const ShiftRequest& request, bool dry_run, Events& events) {
  return Conductor(request, events).run(dry_run);
}

}  // namespace time_chaos::experiment
