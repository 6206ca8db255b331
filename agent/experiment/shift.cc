#include "agent/experiment/shift.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "agent/experiment/bpf_entry.h"
#include "agent/experiment/owner.h"
#include "agent/experiment/page_words.h"
#include "agent/experiment/taken_slots.h"
#include "agent/experiment/waits_in_flight.h"
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

// The clocks that are shifted, and what is said of them.
clock::ClockSet clocks_of(const ShiftRequest& request) {
  return request.continued ? request.continued->clocks : request.clocks.clocks;
}
std::string words_of(const ShiftRequest& request) {
  if (request.fake) return "by " + request.fake->name();
  return request.continued ? request.continued->words : clock::words(request.clocks);
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

Result<PlannedTarget> plan(targets::Process process, const ShiftRequest& request,
                           const SyscallChoice& choice, Abandoned if_abandoned) {
  TC_TRY(const auto status, targets::read_status(process.pid()));
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(process.pid()));
  TC_TRY(auto held, targets::Process::open(process.pid()));
  TC_TRY(auto carrier, carrier_of(std::move(held), running_engines()));
  PlannedTarget target{std::move(process), status.threads};
  const pid_t pid = target.process.pid();
  clock::ClockMaps current = clock::identity_maps();
  if (carrier && carrier->found.state == vdso::State::kShifted) {
    const tc_clock_page& page = carrier->found.page;
    if (if_abandoned == Abandoned::kForeseen && abandoned(page)) {
      target.abandoned = carrier->experiment();
    } else if (!only_kept(carrier->found)) {
      return fail(already_there(page));
    }
    current = maps_when_recovered(page);
    target.takes_over = true;
    target.only_calls = !carrier->has_pages();
    target.bpf = carrier->bpf;
    const bool plt = carrier->found.slots.has_value();
    const bool kept = target.abandoned.empty() || keeps_monotonic(page);
    if (kept && (request.fake || plt != (request.detour == vdso::Detour::kPlt))) {
      return fail(Exit::kUnsupported,
                  "an earlier experiment's monotonic clocks are kept ahead in it",
                  request.fake ? "restart it, or leave out --fake"
                               : fmt::format("use --engine-vdso {}", plt ? "plt" : "detour"));
    }
    if (plt) {
      TC_TRY(auto led, plan_taken_slots(pid, memory, carrier->found, request.modules));
      target.slots = led.count;
      target.modules = std::move(led.modules);
      TC_CHECK(check_any_slots(target, request));
    }
  }
  if (carrier && carrier->has_pages()) target.found = carrier->found;
  TC_TRY(target.maps, plan_maps(request, current));
  if (target.maps.program && request.detach) {
    return fail(Exit::kUnsupported, "a schedule that long has to be fed to its target bit by bit",
                "leave out --detach");
  }
  if (target.takes_over) {
    if (target.found) target.patches = target.found->patches();
    return target;
  }
  TC_TRY(target.only_calls, only_calls(pid, request, choice));
  if (target.only_calls) return target;
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
  if (target.found) {
    const bool fake = request.fake || target.found->fake;
    if (!fake && target.found->slots.has_value() == (request.detour == vdso::Detour::kPlt))
      return {};
    return fail(Exit::kFailed, "inert code of an experiment by other means is still in use",
                "try again");
  }
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(target.attach,
         vdso::make_plan(pid, memory, request.detour, request.modules, request.fake));
  return {};
}

using Header = std::function<void(tc_clock_page&)>;
using Twin = std::shared_ptr<vdso::ClockPage>;

Header header_for(const ShiftRequest& request, uint64_t twin) {
  return [&request, twin](tc_clock_page& page) {
    request.detach ? unsign(page) : sign(page);
    page.clocks = clocks_of(request).bits();
    page.created_sec = clock::read_host_clocks()[0].sec;
    page.twin = twin;
    std::memset(page.experiment, 0, sizeof page.experiment);
    request.experiment.copy(page.experiment, sizeof page.experiment - 1);
    write_words(page, words_of(request));
  };
}

// Where the detour is, or will be.
VdsoRange detoured(const PlannedTarget& target) {
  const bool shifts =
      target.found && (target.found->record.patch_count != 0 || target.found->slots);
  if (shifts && !target.attach) {
    return {target.found->record.vdso, target.found->record.vdso + target.found->record.vdso_size};
  }
  if (!target.attach || (target.attach->functions.empty() && !target.attach->plt)) return {};
  const uint64_t start = target.attach->vdso;
  return {start, start + target.attach->image.bytes().size()};
}

// Before its clocks change, so that no reading is missed: at first they are shown as they are.
Result<Twin> enter_engine(PlannedTarget& target, const ShiftRequest& request, SyscallSide& side,
                          size_t number, const Header& header) {
  if (target.bpf) {  // since the experiment that is taken over
    TC_TRY(auto page, page_at(*target.bpf));
    return std::make_shared<vdso::ClockPage>(std::move(page));
  }
  target.bpf = side.place(number);
  if (!target.bpf) return Twin();
  const uint32_t flags = request.detour == vdso::Detour::kNone ? TC_BPF_VDSO : 0;
  auto twin = enter(target.process, *target.bpf, detoured(target), flags, header);
  Status kept = twin ? side.keep_if_needed() : fail(twin.error());
  if (kept) return twin;
  (void)leave(*target.bpf);
  return fail(kept.error());
}

void take_back(const PlannedTarget& target, const ShiftRequest& request, const Twin& twin) {
  const clock::ClockMaps shifted = maps_in_force(target.bpf);
  const auto found = vdso::find_experiment(target.process.pid());
  if (target.only_calls) {
    (void)vdso::put_clocks_back(*twin);
  } else if (found && *found) {
    (void)vdso::recover(target.process.pid(), **found, request.force, twin);
  }
  set_timerfds_anew(target.bpf, shifted);
  if (target.bpf) (void)leave(*target.bpf);
}

// A monotonic clock that changes its rate turns a corner that must still be to come when its map is
// put into force: it is planned anew, now that nothing but one write is left to do.
Status turn_corner(vdso::ClockPage& page, PlannedTarget& target, const ShiftRequest& request,
                   const Header& header) {
  return page.update([&](clock::ClockMaps& maps, tc_clock_page& fields) -> Status {
    TC_TRY(target.maps, plan_maps(request, maps));
    maps = target.maps.maps;
    if (header) header(fields);
    return {};
  });
}

Result<vdso::AttachReport> detour(PlannedTarget& target, const ShiftRequest& request,
                                  const Twin& twin, const clock::ClockMaps& maps,
                                  const Header& header) {
  const vdso::AttachOptions options{request.force, twin, request.modules};
  const pid_t pid = target.process.pid();
  if (target.found) return vdso::reuse(pid, *target.found, options, maps, header);
  return vdso::attach(pid, *target.attach, options, maps, header);
}

Result<vdso::AttachReport> apply(PlannedTarget& target, const ShiftRequest& request,
                                 const Twin& twin, const Header& header) {
  const pid_t pid = target.process.pid();
  vdso::AttachReport report;
  if (target.only_calls) {
    TC_CHECK(turn_corner(*twin, target, request, header));
    return report;
  }
  if (target.takes_over) {
    TC_TRY(vdso::ClockPage page, vdso::ClockPage::open(pid, target.found->clock_page()));
    page.set_twin(twin);
    if (target.found->slots) {
      TC_TRY(report.led, take_slots(pid, *target.found, request.modules));
    }
    TC_CHECK(turn_corner(page, target, request, header));
    report.code = target.found->code;
    report.patches = target.found->patches();
    return report;
  }
  if (!target.maps.maps.flip_before) {
    return detour(target, request, twin, target.maps.maps, header);
  }
  TC_TRY(report, detour(target, request, twin, clock::identity_maps(), header));
  const Status turned = [&]() -> Status {
    TC_TRY(vdso::ClockPage page,
           vdso::ClockPage::open(pid, report.code + payload::kClockPageOffset));
    page.set_twin(twin);
    return turn_corner(page, target, request, {});
  }();
  if (turned) return report;
  take_back(target, request, twin);
  return fail(turned.error());
}

// What the target reads now, through each engine that serves it.
Result<std::vector<Checked>> check(PlannedTarget& target, const ShiftRequest& request,
                                   const vdso::AttachReport& report) {
  std::vector<Checked> checked;
  std::string identity;
  if (!target.only_calls) {
    TC_TRY(const auto found, vdso::find_experiment(target.process.pid()));
    if (!found) return fail(Exit::kFailed, "the experiment is not to be found in it");
    identity = target.page_identity = found->page_identity;
    const bool nothing_led = found->slots && found->led == 0;
    if (request.detour != vdso::Detour::kNone && !nothing_led) {
      TC_TRY(auto seen, check_vdso(target.process.pid(), *found));
      checked.push_back(report.loaded ? seen_at_load(request.fake->name(), *report.loaded)
                                      : std::move(seen));
    }
  }
  if (!target.bpf) return checked;
  if (!identity.empty()) TC_CHECK(expel_children_without_page(*target.bpf, identity));
  TC_TRY(auto seen, check_syscalls(*target.bpf));
  checked.push_back(std::move(seen));
  return checked;
}

Result<Shifted> shift(PlannedTarget& target, const ShiftRequest& request, SyscallSide& side,
                      size_t number) {
  if (target.found && target.attach) TC_CHECK(clear_away(target, request));
  const bool bpf = target.bpf || side.place(number);
  const Header header = header_for(request, bpf ? make_twin_number() : 0);
  // Of an experiment that is taken over: its kept clocks mapped ends, too.
  const clock::ClockMaps before = maps_in_force(target.bpf);
  TC_TRY(const Twin twin, enter_engine(target, request, side, number, header));
  const auto report = apply(target, request, twin, header);
  if (!report) {
    if (target.bpf && !target.takes_over) (void)leave(*target.bpf);
    return fail(report.error());
  }
  begin_waits_anew(target.process.pid(), target.bpf);
  set_timerfds_anew(target.bpf, before);
  auto checked = check(target, request, *report);
  if (!checked) {
    take_back(target, request, twin);
    return fail(checked.error().because_of(
        "it was shifted, but did not read as it should, and was recovered"));
  }
  Shifted shifted;
  shifted.pid = target.process.pid();
  shifted.command = target.process.name();
  shifted.threads = target.threads;
  shifted.experiment = request.experiment;
  shifted.clocks = clocks_of(request);
  const auto now = clock::read_host_clocks();
  shifted.offset = first_shift(target.maps.maps, shifted.clocks,
                               request.continued ? now : request.clocks.start.value_or(now));
  shifted.words = words_of(request);
  shifted.patches = report->patches;
  shifted.plt = request.detour == vdso::Detour::kPlt && !target.only_calls;
  if (request.fake) shifted.fake = request.fake->name();
  shifted.slots = report->led.count;
  shifted.modules = report->led.modules;
  shifted.stopped = report->stopped;
  shifted.world_stopped = report->world_stopped;
  shifted.until = end_of(target.maps.maps, shifted.clocks);
  shifted.checked = std::move(*checked);
  shifted.kept = target.maps.kept;
  shifted.raw_calls = target.bpf ? RawCalls::kBpf : side.choice().engine;
  shifted.only_calls = target.only_calls;
  return shifted;
}

}  // namespace

Result<PlannedTarget> plan_target(targets::Process process, const ShiftRequest& request,
                                  const SyscallChoice& choice, Abandoned abandoned) {
  TC_CHECK(targets::check_targetable(process));
  const std::string label = process.label();
  auto planned = plan(std::move(process), request, choice, abandoned);
  if (!planned) return fail(planned.error().because_of("cannot shift " + label));
  return planned;
}

Result<PlannedTarget> plan_before_exec(targets::Process process, const ShiftRequest& request) {
  TC_CHECK(targets::check_targetable(process));
  // By inheritance from us: then we are a target ourselves.
  if (const auto place = place_of(process.pid(), running_engines())) {
    return fail(cannot_shift(process, already_there(place->engine->page(place->page))));
  }
  PlannedTarget target{std::move(process), 1};
  target.only_calls = true;
  TC_TRY(target.maps, clock::plan_shift(request.clocks, clock::identity_maps(),
                                        clock::read_host_clocks(), initial_lease(request)));
  return target;
}

Result<Shifted> shift_target(PlannedTarget& target, const ShiftRequest& request, SyscallSide& side,
                             size_t number) {
  auto shifted = shift(target, request, side, number);
  if (!shifted) return fail(cannot_shift(target.process, shifted.error()));
  return shifted;
}

}  // namespace time_chaos::experiment
