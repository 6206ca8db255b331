#include "agent/experiment/conduct.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <set>
#include <utility>

#include "agent/experiment/change.h"
#include "agent/experiment/family.h"
#include "agent/experiment/select.h"
#include "agent/syscalls/privileges.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::steady_clock;

// A target, or, when all targets have ended, one that came of them.
struct Running {
  targets::Process process;
  FamilyName family;  // it, its children, and what they executed
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
    if (const auto looked = look_at_cgroups(); !looked) return refuse(looked.error());
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
    auto following = follow_syscalls();
    if (following) following = follow_selectors();
    if (!following) {
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
    FamilyName family{std::move(target.page_identity), target.bpf};
    running_.push_back({std::move(target.process), std::move(family), false, target.maps.program});
  }

  // What is started under a selected name or in a selected control group later is a target, too,
  // while this agent is there. It gets the clocks of the first that was there.
  Status follow_selectors() {
    if (request_.detach) return {};
    for (const std::string& name : request_.targets.names) {
      const auto* first = first_place([&](const targets::Process& process) {
        return process.name() == name.substr(0, TC_BPF_COMM - 1);
      });
      if (first != nullptr) TC_CHECK(side_->follow_name(name, *first));
    }
    for (const auto& [cgroup, pids] : cgroups_) {
      const auto* first = first_place([&pids = pids](const targets::Process& process) {
        return std::find(pids.begin(), pids.end(), process.pid()) != pids.end();
      });
      if (first != nullptr) TC_CHECK(side_->follow_cgroup(cgroup, *first));
    }
    return {};
  }

  template <typename Wanted>
  [[nodiscard]] const BpfPlace* first_place(Wanted wanted) const {
    for (const Running& running : running_) {
      if (running.family.place && wanted(running.process)) return &*running.family.place;
    }
    return nullptr;
  }

  // Before anything changes: who is in the selected control groups may have ended afterwards.
  Status look_at_cgroups() {
    for (const std::string& path : request_.targets.cgroups) {
      TC_TRY(const targets::Cgroup cgroup, targets::find_cgroup(path));
      cgroups_.emplace_back(cgroup, targets::processes_in(cgroup));
    }
    return {};
  }

  Status follow_syscalls() {
    std::vector<pid_t> pids;
    for (const Running& running : running_) pids.push_back(running.process.pid());
    TC_CHECK(side_->follow(pids, request_));
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
    side_->stop_following();
    for (const Running& running : running_) {
      const pid_t pid = running.process.pid();
      events_.followed(pid, following->counters(pid));
    }
    for (const pid_t pid : following->released()) report_released(pid);
    side_->end_following();
  }

  void report_released(pid_t pid) {
    const auto process = targets::Process::open(pid);
    const auto status = targets::read_status(pid);
    if (!process || !process->alive() || !status) return;  // it has ended meanwhile
    if (status->tracer == 0) return events_.released(pid, process->name());
    fail_with(Error(Exit::kFailed, fmt::format("cannot let go of {}", process->label()),
                    "its system calls are real when this agent has ended"));
  }

  // Somebody whose clocks are ours to serve still lives, or may be started. Where no tracer follows
  // the children of targets that have ended, they are targets of their own from here on.
  bool anyone_left() {
    const auto living = [](const Running& r) { return !r.gone; };
    if (std::any_of(running_.begin(), running_.end(), living)) return true;
    if (const auto* following = side_->following()) return !following->idle();
    if (side_->expects_more()) return true;
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
      if (event->kind == Lifetime::Event::Kind::kChanged) side_->begin_waits_anew();
      if (event->kind == Lifetime::Event::Kind::kTargetEnded) {
        if (event->target < running_.size()) {
          Running& ended = running_[event->target];
          ended.gone = true;
          events_.gone(ended.process.pid(), ended.process.name());
        }
        if (!anyone_left()) return;
      }
    }
  }

  // And of the tracer, which says when nobody is left.
  [[nodiscard]] std::vector<int> pidfds() {
    std::vector<int> fds;
    for (const Running& r : running_) fds.push_back(r.gone ? -1 : r.process.pidfd());
    if (const auto* following = side_->following()) fds.push_back(following->idle_fd());
    return fds;
  }

  // When the first of the targets needs the next part of its schedule.
  [[nodiscard]] std::optional<steady_clock::time_point> refill_due(
      steady_clock::time_point now) const {
    std::optional<steady_clock::time_point> due;
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

  void renew_all(std::optional<steady_clock::time_point> end) {
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
        (void)renew(members.front(), lease, programs);  // they share the page
      } else if (running.family.place && side_->expects_more()) {
        // Between the end of a service and its restart.
        auto page = page_at(*running.family.place);
        if (page) (void)renew(*page, lease, programs);
      }
    }
  }

  // Those that carry a target's experiment: it, unless it has ended, and what came of it.
  [[nodiscard]] std::vector<Carrier> members_of(const Running& running) const {
    return survivors(running.family, request_.experiment);
  }

  void recover_all() {
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

  void recover(const Carrier& member) {
    auto recovered = recover_carrier(member, request_.force);
    if (recovered) return events_.recovered(*recovered);
    if (member.process.alive()) return fail_with(recovered.error());
    events_.gone(member.process.pid(), member.process.name());
  }

  ShiftRequest request_;
  Events& events_;
  std::vector<Running> running_;
  std::vector<std::pair<targets::Cgroup, std::vector<pid_t>>> cgroups_;
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
