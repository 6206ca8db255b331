// Before the first target is shifted: it may not be there yet, or be only just about to be.
#include <algorithm>
#include <set>

#include "agent/experiment/conductor.h"
#include "agent/experiment/select.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kLook{200};
// A program that has just been executed may not be in place yet.
constexpr int kAttempts = 5;

}  // namespace

// True: to be ended.
bool Conductor::sleep(Lifetime& lifetime, milliseconds span) {
  using Kind = Lifetime::Event::Kind;
  const auto until = steady_clock::now() + span;
  for (;;) {
    const auto event = lifetime.wait(until, asker_fds());
    stopped_ = stopped_ || !event || event->kind == Kind::kSignal;
    if (!stopped_ && event->kind == Kind::kTargetEnded) askers_[event->target]->attend(*this);
    if (stopped_ || event->kind == Kind::kMoment) return stopped_;
  }
}

// By the same selectors each time: what they have found before they do not take for something else.
Result<std::vector<targets::Process>> Conductor::find_targets(bool dry_run) {
  if (!selectors_) {
    TC_TRY(selectors_, request_.targets.selectors());
  }
  if (!dry_run) listen_for_followers();
  return select(request_.targets, *selectors_,
                request_.wait ? "start it" : "start it, or wait for it with --wait 30s");
}

Result<std::vector<targets::Process>> Conductor::await_targets(Lifetime& lifetime, bool dry_run) {
  const auto begun = steady_clock::now();
  bool said = false;
  for (;;) {
    auto processes = find_targets(dry_run);
    if (processes || processes.error().kind() != Exit::kNoTarget || !request_.wait) {
      return processes;
    }
    if (steady_clock::now() - begun >= *request_.wait) return processes;
    if (!said) events_.waits(processes.error(), *request_.wait);
    said = true;
    if (sleep(lifetime, kLook)) return std::vector<targets::Process>();
  }
}

// Nothing is recovered for a request that is refused then.
Result<std::vector<PlannedTarget>> Conductor::plan_without_abandoned(
    std::vector<targets::Process> processes) {
  // One instant for all targets: from here on there is little left to do.
  request_.clocks.start = clock::read_host_clocks();
  auto planned = plan(std::move(processes), side_->choice(), Abandoned::kForeseen);
  const auto is_abandoned = [](const PlannedTarget& target) { return !target.abandoned.empty(); };
  if (!planned || std::none_of(planned->begin(), planned->end(), is_abandoned)) return planned;
  TC_CHECK(recover_abandoned(*planned));
  std::vector<targets::Process> again;
  for (PlannedTarget& target : *planned) again.push_back(std::move(target.process));
  request_.clocks.start = clock::read_host_clocks();
  return plan(std::move(again), side_->choice(), Abandoned::kRefused);
}

Result<std::vector<PlannedTarget>> Conductor::plan_first(Lifetime& lifetime,
                                                         std::vector<targets::Process> processes) {
  for (int attempt = 1;; attempt++) {
    auto planned = plan_without_abandoned(std::move(processes));
    const bool final = planned || planned.error().kind() == Exit::kNotPermitted ||
                       planned.error().kind() == Exit::kUsage;
    if (final || !request_.wait || attempt == kAttempts) return planned;
    if (sleep(lifetime, kLook)) return std::vector<PlannedTarget>();
    TC_TRY(processes, await_targets(lifetime, false));
    if (stopped_) return std::vector<PlannedTarget>();
  }
}

}  // namespace time_chaos::experiment
