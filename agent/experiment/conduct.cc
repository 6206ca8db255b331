#include "agent/experiment/conduct.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "agent/experiment/conductor.h"
#include "agent/syscalls/privileges.h"

namespace time_chaos::experiment {

using std::chrono::steady_clock;

Exit Conductor::run(bool dry_run) {
  // Before anything changes: an interrupt in the middle must not leave a target half-way.
  auto lifetime = Lifetime::begin();
  if (!lifetime) return refuse(lifetime.error());
  auto processes = await_targets(*lifetime, dry_run);
  if (!processes) return refuse(processes.error());
  if (stopped_) return Exit::kOk;
  if (dry_run) return foretell(std::move(*processes));
  auto side = SyscallSide::begin(request_, processes->size());
  if (!side) return refuse(side.error());
  side_.emplace(std::move(*side));
  auto planned = plan_first(*lifetime, std::move(*processes));
  if (!planned) return refuse(planned.error());
  if (stopped_) return Exit::kOk;
  if (side_->choice().engine == RawCalls::kBpf) events_.chosen(side_->choice());
  began_ = steady_clock::now();
  size_t place = 0;
  for (PlannedTarget& target : *planned) {
    const Status shifted = shift(target, request_, place++);
    shifted ? static_cast<void>(good_++) : fail_with(shifted.error());
  }
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

Exit Conductor::refuse(const Error& error) {
  events_.failed(error);
  return error.kind();
}

void Conductor::note_shifted(const Shifted& shifted) {
  const auto stopped = shifted.stopped + shifted.world_stopped.value_or(Nanoseconds(0));
  so_far_.attaches++;
  so_far_.stopped += stopped;
  so_far_.longest_stop = std::max(so_far_.longest_stop, stopped);
  events_.shifted(shifted);
}

void Conductor::fail_with(const Error& error) {
  so_far_.failures++;
  events_.failed(error);
  worst_ = error.kind();
}

Exit Conductor::foretell(std::vector<targets::Process> processes) {
  const auto choice = SyscallSide::foresee(request_);
  if (!choice) return refuse(choice.error());
  request_.clocks.start = clock::read_host_clocks();
  auto planned = plan(std::move(processes), *choice, Abandoned::kForeseen);
  if (!planned) return refuse(planned.error());
  events_.chosen(*choice);
  for (const PlannedTarget& target : *planned) events_.planned(target, *choice);
  return Exit::kOk;
}

Result<std::vector<PlannedTarget>> Conductor::plan(std::vector<targets::Process> processes,
                                                   const SyscallChoice& choice,
                                                   Abandoned abandoned) {
  std::vector<PlannedTarget> planned;
  for (targets::Process& process : processes) {
    const bool by_name = std::find(request_.targets.pids.begin(), request_.targets.pids.end(),
                                   process.pid()) == request_.targets.pids.end();
    auto target = plan_target(std::move(process), request_, choice, abandoned);
    if (!target && target.error().kind() == Exit::kNoTarget && by_name) continue;
    if (!target) return fail(target.error());
    planned.push_back(std::move(*target));
  }
  if (planned.empty()) return fail(Exit::kNoTarget, "all processes of that name have ended");
  return planned;
}

Status Conductor::shift(PlannedTarget& target, const ShiftRequest& request, size_t place) {
  TC_TRY(const Shifted shifted, shift_target(target, request, *side_, place));
  note_shifted(shifted);
  FamilyName family{std::move(target.page_identity), target.bpf};
  running_.push_back({std::move(target.process), std::move(family), false, target.maps.program});
  return {};
}

Status Conductor::follow_syscalls() {
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
Status Conductor::drop_privileges() const {
  const bool filtered = std::any_of(running_.begin(), running_.end(), [](const Running& r) {
    const auto status = targets::read_status(r.process.pid());
    return !status || status->seccomp_mode != 0;
  });
  const bool events = followers_ && followers_->arrivals().by_events();
  return syscalls::drop_privileges(
      {.seccomp = request_.force || filtered || followers_, .process_events = events});
}

Exit conduct(const ShiftRequest& request, bool dry_run, Events& events,
             std::vector<Asker*> askers) {
  return Conductor(request, events, std::move(askers)).run(dry_run);
}

}  // namespace time_chaos::experiment
