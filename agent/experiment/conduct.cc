#include "agent/experiment/conduct.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "agent/experiment/change.h"
#include "agent/experiment/family.h"
#include "agent/experiment/select.h"
#include "agent/syscalls/privileges.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::steady_clock;

// A target, or, when it has ended, one that came of it.
struct Running {
  targets::Process process;
  FamilyName family;
  bool gone = false;
  std::shared_ptr<const clock::Program> program;  // of which it has a part at a time
};

class Conductor {
 public:
  Conductor(const ShiftRequest& request, Events& events) : request_(request), events_(events) {}

  Exit run(bool dry_run) {
    // Before anything changes: an interrupt in the middle must not leave a target half-way.
    auto lifetime = Lifetime::begin();
    if (!lifetime) return refuse(lifetime.error());
    auto processes = select(request_.targets);
    if (!processes) return refuse(processes.error());
    if (dry_run) return foretell(std::move(*processes));
    auto side = SyscallSide::begin(request_, processes->size());
    if (!side) return refuse(side.error());
    side_.emplace(std::move(*side));
    // One instant for all targets: from here on there is little left to do.
    request_.clocks.start = clock::read_host_clocks();
    auto planned = plan(std::move(*processes), side_->choice());
    if (!planned) return refuse(planned.error());
    if (side_->choice().engine == RawCalls::kBpf) events_.chosen(side_->choice());
    began_ = steady_clock::now();
    for (PlannedTarget& target : *planned) shift(target);
    if (running_.empty()) return worst_;
    // Threads that are started later inherit what is left.
    if (auto dropped = drop_privileges(); !dropped) events_.failed(dropped.error());
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

  Exit foretell(std::vector<targets::Process> processes) {
    const auto choice = SyscallSide::foresee(request_);
    if (!choice) return refuse(choice.error());
    request_.clocks.start = clock::read_host_clocks();
    auto planned = plan(std::move(processes), *choice);
    if (!planned) return refuse(planned.error());
    events_.chosen(*choice);
    for (const PlannedTarget& target : *planned) events_.planned(target, *choice);
    return Exit::kOk;
  }

  Result<std::vector<PlannedTarget>> plan(std::vector<targets::Process> processes,
                                          const SyscallChoice& choice) {
    std::vector<PlannedTarget> planned;
    for (targets::Process& process : processes) {
      const bool by_name = std::find(request_.targets.pids.begin(), request_.targets.pids.end(),
                                     process.pid()) == request_.targets.pids.end();
      auto target = plan_target(std::move(process), request_, choice);
      if (!target && target.error().kind() == Exit::kNoTarget && by_name) continue;
      if (!target) return fail(target.error());
      planned.push_back(std::move(*target));
    }
    if (planned.empty()) return fail(Exit::kNoTarget, "all processes of that name have ended");
    return planned;
  }

  void shift(PlannedTarget& target) {
    auto shifted = shift_target(target, request_, *side_, places_++);
    if (!shifted) return fail_with(shifted.error());
    good_++;
    events_.shifted(*shifted);
    FamilyName family{"", target.bpf};
    const auto found = vdso::find_experiment(target.process.pid());
    if (found && *found) family.page_identity = (*found)->page_identity;
    running_.push_back({std::move(target.process), std::move(family), false, target.maps.program});
  }

  Status follow_syscalls() {
    std::vector<pid_t> pids;
    for (const Running& running : running_) pids.push_back(running.process.pid());
    TC_CHECK(side_->follow(pids));
    if (side_->choice().engine != RawCalls::kBpf) events_.chosen(side_->choice());
    const auto* following = side_->following();
    if (following == nullptr) return {};
    for (const pid_t pid : pids) events_.following(pid, following->counters(pid));
    return {};
  }

  // Without the capability to read a target's filters its pages could not be taken back.
  [[nodiscard]] Status drop_privileges() const {
    const bool filtered = std::any_of(running_.begin(), running_.end(), [](const Running& r) {
      const auto status = targets::read_status(r.process.pid());
      return !status || status->seccomp_mode != 0;
    });
    return syscalls::drop_privileges(request_.force || filtered);
  }

  void end_following() {
    auto* following = side_->following();
    if (following == nullptr) return;
    following->stop();
    for (const Running& running : running_) {
      const pid_t pid = running.process.pid();
      events_.followed(pid, following->counters(pid));
    }
    side_->end_following();
  }

  void stay(Lifetime& lifetime) {
    const auto end = request_.duration ? std::optional(began_ + *request_.duration) : std::nullopt;
    const auto renewal = request_.lease ? std::optional(*request_.lease / 4) : std::nullopt;
    auto next_renewal = renewal ? std::optional(began_ + *renewal) : std::nullopt;
    auto next_refill = refill_due(steady_clock::now());
    const auto period = events_.tick_period();
    for (;;) {
      const auto now = steady_clock::now();
      if (end && now >= *end) return;
      if ((next_renewal && now >= *next_renewal) || (next_refill && now >= *next_refill)) {
        renew_all(end);
        if (renewal) next_renewal = now + *renewal;
        next_refill = refill_due(now);
      }
      auto wake = end;
      for (const auto& next : {next_renewal, next_refill}) {
        if (next && (!wake || *next < *wake)) wake = next;
      }
      if (period) {
        events_.tick(end ? std::optional<Nanoseconds>(*end - now) : std::nullopt);
        wake = std::min(wake.value_or(now + *period), now + *period);
      }
      const auto event = lifetime.wait(wake, pidfds());
      if (!event || event->kind == Lifetime::Event::Kind::kSignal) return;
      if (event->kind == Lifetime::Event::Kind::kTargetEnded) {
        Running& ended = running_[event->target];
        events_.gone(ended.process.pid(), ended.process.name());
        ended.gone = !inherit(ended);
        if (std::all_of(running_.begin(), running_.end(), [](const auto& r) { return r.gone; })) {
          return;
        }
      }
    }
  }

  // Children, and programs that it executed, live on with its clock.
  static bool inherit(Running& ended) {
    for (Carrier& heir : family(ended.family)) {
      if (!heir.process.alive()) continue;
      ended.process = std::move(heir.process);
      return true;
    }
    return false;
  }

  [[nodiscard]] std::vector<int> pidfds() const {
    std::vector<int> fds;
    for (const Running& r : running_) fds.push_back(r.gone ? -1 : r.process.pidfd());
    return fds;
  }

  // When the first of the targets needs the next part of its schedule.
  [[nodiscard]] std::optional<steady_clock::time_point> refill_due(
      steady_clock::time_point now) const {
    std::optional<steady_clock::time_point> due;
    for (const Running& running : running_) {
      if (running.gone || !running.program) continue;
      const Nanoseconds place = now - began_;
      const auto after = running.program->refill_after(place.count());
      if (!after) continue;
      const auto moment = began_ + Nanoseconds(*after);
      if (!due || moment < *due) due = moment;
    }
    return due;
  }

  void renew_all(std::optional<steady_clock::time_point> end) {
    std::optional<Nanoseconds> lease = request_.lease;
    if (end && lease) lease = std::min<Nanoseconds>(*lease, *end - steady_clock::now());
    for (const Running& running : running_) {
      if (running.gone) continue;
      auto carrier = carrier_of(running);
      if (carrier && mine(*carrier)) (void)renew(*carrier, lease, running.program.get());
    }
  }

  static Result<Carrier> carrier_of(const Running& running) {
    TC_TRY(auto process, targets::Process::open(running.process.pid()));
    if (process.start_time() != running.process.start_time()) {
      return fail(Exit::kNoTarget, "the process has ended");
    }
    // It may have executed another program.
    const bool only_calls = running.family.page_identity.empty();
    TC_TRY(auto second, targets::Process::open(running.process.pid()));
    TC_TRY(auto carrier, carrier_at(std::move(process), running.family.place, only_calls));
    if (!carrier && running.family.place && !only_calls) {
      TC_TRY(carrier, experiment::carrier_of(std::move(second), {running.family.place->engine}));
    }
    if (!carrier) return fail(Exit::kNoTarget, "it carries no experiment any more");
    return std::move(*carrier);
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

  ShiftRequest request_;
  Events& events_;
  std::vector<Running> running_;
  std::optional<SyscallSide> side_;
  size_t places_ = 0;
  steady_clock::time_point began_;
  int good_ = 0;
  Exit worst_ = Exit::kOk;
};

}  // namespace

Exit conduct(const ShiftRequest& request, bool dry_run, Events& events) {
  return Conductor(request, events).run(dry_run);
}

}  // namespace time_chaos::experiment
