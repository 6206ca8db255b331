#include "agent/experiment/planned_target.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/experiment/owner.h"
#include "agent/experiment/taken_slots.h"
#include "agent/targets/mappings.h"

namespace time_chaos::experiment {
namespace {

Error cannot_shift(const std::string& label, const Error& cause) {
  return cause.because_of("cannot shift " + label);
}

// An experiment that was recovered but for monotonic clocks that have to stay ahead.
bool only_kept(const vdso::Found& found) {
  return found.state == vdso::State::kShifted && found.page.experiment[0] == '\0';
}

Error already_there(const tc_clock_page& page) {
  const auto owner = living_owner(page);
  return Error(Exit::kFailed,
               fmt::format("experiment {} is already there{}", page.experiment,
                           owner ? fmt::format(" (agent {})", *owner) : ""),
               "change it with time-chaos set, or end it with time-chaos recover");
}

// With --detach nobody leads the slots of libraries that are loaded later.
Status check_any_slots(const PlannedTarget& target, const ShiftRequest& request) {
  if (target.slots != 0 || !request.detach) return {};
  return fail(Exit::kUnsupported, "no module of it has slots for clock functions",
              "leave out --detach, for those that are loaded later, or use --engine-vdso detour");
}

// A program that has no vDSO reads every clock by system call, so the BPF engine is enough for it.
// One whose vDSO is not for us is served like that only when the user says so.
Result<bool> only_calls(pid_t pid, const ShiftRequest& request, const SyscallChoice& choice) {
  if (choice.engine != RawCalls::kBpf) return false;
  if (request.detour == vdso::Detour::kNone) return true;
  TC_TRY(const auto mappings, targets::Mappings::read(pid));
  return mappings.find("[vdso]") == nullptr;
}

// Monotonic clocks stay ahead when the rest is recovered.
clock::ClockMaps maps_when_recovered(const tc_clock_page& page) {
  clock::ClockMaps maps = clock::maps_in_force(page);
  const clock::ClockMaps identity = clock::identity_maps();
  for (int c = 0; c < TC_CLOCK_COUNT; c++) {
    const auto i = static_cast<size_t>(c);
    if (!clock::is_monotonic(c)) maps[i] = identity[i];
  }
  return maps;
}

bool keeps_monotonic(const tc_clock_page& page) {
  const clock::ClockSet monotonic(~clock::ClockSet::wall().bits());
  return !(monotonic & clock::ClockSet(page.clocks)).empty();
}

// What stands in it already, and goes on showing monotonic clocks ahead.
Status plan_over(PlannedTarget& target, const Carrier& carrier, const ShiftRequest& request,
                 Abandoned if_abandoned) {
  const tc_clock_page& page = carrier.found.page;
  if (if_abandoned == Abandoned::kForeseen && abandoned(page)) {
    target.abandoned = carrier.experiment();
  } else if (!only_kept(carrier.found)) {
    return fail(already_there(page));
  }
  target.takes_over = true;
  target.only_calls = !carrier.has_pages();
  target.bpf = carrier.bpf;
  if (target.found) target.patches = target.found->patches();
  const bool plt = carrier.found.slots.has_value();
  const bool kept = target.abandoned.empty() || keeps_monotonic(page);
  if (kept && (request.fake || plt != (request.detour == vdso::Detour::kPlt))) {
    return fail(Exit::kUnsupported, "an earlier experiment's monotonic clocks are kept ahead in it",
                request.fake ? "restart it, or leave out --fake"
                             : fmt::format("use --engine-vdso {}", plt ? "plt" : "detour"));
  }
  if (!plt) return {};
  const pid_t pid = target.process.pid();
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(auto led, plan_taken_slots(pid, memory, carrier.found, request.modules));
  target.slots = led.count;
  target.modules = std::move(led.modules);
  return check_any_slots(target, request);
}

Status plan_attach(PlannedTarget& target, const ShiftRequest& request,
                   const SyscallChoice& choice) {
  const pid_t pid = target.process.pid();
  TC_TRY(tracee::Memory memory, tracee::Memory::open(pid));
  auto attach = vdso::make_plan(pid, memory, request.detour, request.modules, request.fake);
  if (!attach && attach.error().kind() == Exit::kUnsupported && choice.engine == RawCalls::kBpf) {
    return fail(attach.error().with_remedy("--engine-vdso off shifts its system calls alone"));
  }
  TC_TRY(target.attach, std::move(attach));
  for (const auto& function : target.attach->functions) target.patches.push_back(function.record);
  if (const auto& plt = target.attach->plt) {
    target.slots = plt->scan.slots.size();
    target.modules = plt->scan.modules;
    TC_CHECK(check_any_slots(target, request));
  }
  return vdso::rehearse_attach(pid, *target.attach, {request.force, {}, request.modules});
}

Result<PlannedTarget> plan(targets::Process process, const ShiftRequest& request,
                           const SyscallChoice& choice, Abandoned if_abandoned) {
  TC_TRY(const auto status, targets::read_status(process.pid()));
  TC_CHECK(tracee::Memory::open(process.pid()));  // whoever may not says what is missing
  TC_TRY(auto held, targets::Process::open(process.pid()));
  TC_TRY(const auto carrier, carrier_of(std::move(held), running_engines()));
  PlannedTarget target{std::move(process), status.threads};
  if (carrier && carrier->has_pages()) target.found = carrier->found;
  clock::ClockMaps current = clock::identity_maps();
  if (carrier && carrier->found.state == vdso::State::kShifted) {
    TC_CHECK(plan_over(target, *carrier, request, if_abandoned));
    current = maps_when_recovered(carrier->found.page);
  }
  TC_TRY(target.maps, plan_maps(request, current));
  if (target.maps.program && request.detach) {
    return fail(Exit::kUnsupported, "a schedule that long has to be fed to its target bit by bit",
                "leave out --detach");
  }
  if (target.takes_over) return target;
  TC_TRY(target.only_calls, only_calls(target.process.pid(), request, choice));
  if (!target.only_calls) TC_CHECK(plan_attach(target, request, choice));
  return target;
}

}  // namespace

std::optional<Nanoseconds> initial_lease(const ShiftRequest& request) {
  if (!request.lease) return request.duration;
  if (!request.duration) return request.lease;
  return std::min(*request.lease, *request.duration);
}

Result<clock::MapPlan> plan_maps(const ShiftRequest& request, const clock::ClockMaps& current) {
  const clock::HostReadings now = clock::read_host_clocks();
  TC_TRY(clock::MapPlan plan,
         clock::plan_shift(request.clocks, current, now, initial_lease(request)));
  if (!request.continued) return plan;
  const Continued& shown = *request.continued;
  clock::ClockMaps maps = plan.maps;
  for (int c = 0; c < TC_CLOCK_COUNT; c++) {
    const auto i = static_cast<size_t>(c);
    if (!clock::is_monotonic(c)) maps[i] = shown.maps[i];
  }
  maps.table = shown.maps.table;
  plan.maps = clock::with_lease(maps, now, initial_lease(request), shown.clocks);
  plan.maps.flip_before = maps.flip_before;
  plan.program = shown.program;
  return plan;
}

Result<PlannedTarget> plan_target(targets::Process process, const ShiftRequest& request,
                                  const SyscallChoice& choice, Abandoned abandoned) {
  TC_CHECK(targets::check_targetable(process));
  const std::string label = process.label();
  auto planned = plan(std::move(process), request, choice, abandoned);
  if (!planned) return fail(cannot_shift(label, planned.error()));
  return planned;
}

Result<PlannedTarget> plan_before_exec(targets::Process process, const ShiftRequest& request) {
  TC_CHECK(targets::check_targetable(process));
  // By inheritance from us: then we are a target ourselves.
  if (const auto place = place_of(process.pid(), running_engines())) {
    return fail(cannot_shift(process.label(), already_there(place->engine->page(place->page))));
  }
  PlannedTarget target{std::move(process), 1};
  target.only_calls = true;
  TC_TRY(target.maps, clock::plan_shift(request.clocks, clock::identity_maps(),
                                        clock::read_host_clocks(), initial_lease(request)));
  return target;
}

}  // namespace time_chaos::experiment
