#include "agent/experiment/shift.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "agent/experiment/owner.h"
#include "agent/vdso/clock_page.h"
#include "agent/vdso/recover.h"

namespace time_chaos::experiment {
namespace {

Error cannot_shift(const targets::Process& process, const Error& cause) {
  return cause.because_of(fmt::format("cannot shift {}", process.label()));
}

// An experiment that was recovered but for monotonic clocks that have to stay ahead.
bool only_kept(const vdso::Found& found) {
  return found.state == vdso::State::kShifted && found.page.experiment[0] == '\0';
}

Error already_there(const vdso::Found& found) {
  const auto owner = living_owner(found.page);
  return Error(Exit::kFailed,
               fmt::format("experiment {} is already there{}", found.page.experiment,
                           owner ? fmt::format(" (agent {})", *owner) : ""),
               "change it with time-chaos set, or end it with time-chaos recover");
}

Result<PlannedTarget> plan(targets::Process process, const ShiftRequest& request) {
  PlannedTarget target{std::move(process), 0, {}, {}, {}, {}};
  const pid_t pid = target.process.pid();
  TC_TRY(const auto status, targets::read_status(pid));
  target.threads = status.threads;
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(target.found, vdso::find_experiment(pid));
  clock::ClockMaps current = clock::identity_maps();
  const bool take_over = target.found && only_kept(*target.found);
  if (target.found && target.found->state == vdso::State::kShifted) {
    if (!take_over) return fail(already_there(*target.found));
    const tc_clock_page& page = target.found->page;
    current = clock::maps_in_force(page);
  }
  TC_TRY(target.maps, clock::plan_shift(request.clocks, current, clock::read_host_clocks(),
                                        initial_lease(request)));
  if (take_over) {
    target.patches = target.found->patches();
    return target;
  }
  TC_TRY(target.attach, vdso::make_plan(pid, memory, request.detour));
  for (const auto& function : target.attach->functions) target.patches.push_back(function.record);
  return target;
}

// What an agent that died, or a thread that did not leave, left behind.
Status clear_away(PlannedTarget& target, const ShiftRequest& request) {
  const pid_t pid = target.process.pid();
  TC_TRY(const auto recovered, vdso::recover(pid, *target.found, request.force));
  (void)recovered;
  TC_TRY(target.found, vdso::find_experiment(pid));
  if (target.found && target.found->state != vdso::State::kInert) {
    return fail(Exit::kFailed, "what an earlier agent left in it is still in use", "try again");
  }
  if (target.found) return {};
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(target.attach, vdso::make_plan(pid, memory, request.detour));
  return {};
}

Result<vdso::AttachReport> take_over(const PlannedTarget& target, const clock::ClockMaps& maps,
                                     const std::function<void(tc_clock_page&)>& header) {
  TC_TRY(vdso::ClockPage page,
         vdso::ClockPage::open(target.process.pid(), target.found->clock_page()));
  TC_CHECK(page.publish(maps, header));
  vdso::AttachReport report;
  report.code = target.found->code;
  report.patches = target.found->patches();
  return report;
}

Result<vdso::AttachReport> apply(PlannedTarget& target, const ShiftRequest& request) {
  const pid_t pid = target.process.pid();
  const auto header = [&](tc_clock_page& page) {
    request.detach ? unsign(page) : sign(page);
    page.clocks = request.clocks.clocks.bits();
    page.created_sec = clock::read_host_clocks()[0].sec;
    std::memset(page.experiment, 0, sizeof page.experiment);
    request.experiment.copy(page.experiment, sizeof page.experiment - 1);
  };
  if (!target.attach) return take_over(target, target.maps.maps, header);
  if (target.found) TC_CHECK(clear_away(target, request));
  if (target.found) return vdso::reuse(pid, *target.found, target.maps.maps, header);
  const vdso::AttachOptions options{request.force};
  return vdso::attach(pid, *target.attach, options, target.maps.maps, header);
}

Result<Shifted> shift(PlannedTarget& target, const ShiftRequest& request) {
  TC_TRY(const vdso::AttachReport report, apply(target, request));
  const pid_t pid = target.process.pid();
  Shifted shifted;
  shifted.pid = pid;
  shifted.command = target.process.name();
  shifted.threads = target.threads;
  shifted.experiment = request.experiment;
  shifted.clocks = request.clocks.clocks;
  shifted.offset = request.clocks.offset;
  shifted.patches = report.patches;
  shifted.stopped = report.stopped;
  shifted.world_stopped = report.world_stopped;
  shifted.until = end_of(target.maps.maps, request.clocks.clocks);
  shifted.kept = target.maps.kept;
  shifted.followed = request.syscalls == SyscallEngine::kPtrace;
  if (request.detour == vdso::Detour::kNone) return shifted;  // nothing of the vDSO's to check
  auto check = [&]() -> Result<Checked> {
    TC_TRY(const auto found, vdso::find_experiment(pid));
    if (!found) return fail(Exit::kFailed, "the experiment is not to be found in it");
    return check_vdso(pid, *found);
  }();
  if (!check) {
    if (const auto found = vdso::find_experiment(pid); found && *found) {
      (void)vdso::recover(pid, **found, request.force);
    }
    return fail(
        check.error().because_of("it was shifted, but did not read as it should, and was "
                                 "recovered"));
  }
  shifted.checked.push_back(*check);
  return shifted;
}

}  // namespace

std::optional<Nanoseconds> initial_lease(const ShiftRequest& request) {
  if (!request.lease) return request.duration;
  if (!request.duration) return request.lease;
  return std::min(*request.lease, *request.duration);
}

std::optional<clock::Reading> end_of(const clock::ClockMaps& maps, clock::ClockSet clocks) {
  for (int c = 0; c < TC_CLOCK_COUNT; c++) {
    const tc_clock_map& map = maps[static_cast<size_t>(c)];
    if (clocks.has(c) && map.until_sec != TC_NEVER && !clock::is_monotonic(c)) {
      return clock::Reading{map.until_sec, map.until_nsec};
    }
  }
  return std::nullopt;
}

Result<PlannedTarget> plan_target(targets::Process process, const ShiftRequest& request) {
  TC_CHECK(targets::check_targetable(process));
  const std::string label = process.label();
  auto planned = plan(std::move(process), request);
  if (!planned) return fail(planned.error().because_of("cannot shift " + label));
  return planned;
}

Result<Shifted> shift_target(PlannedTarget& target, const ShiftRequest& request) {
  auto shifted = shift(target, request);
  if (!shifted) return fail(cannot_shift(target.process, shifted.error()));
  return shifted;
}

}  // namespace time_chaos::experiment
