#include "agent/experiment/shift.h"

#include <cerrno>
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

// The clocks that are shifted, and what is said of them.
clock::ClockSet clocks_of(const ShiftRequest& request) {
  return request.continued ? request.continued->clocks : request.clocks.clocks;
}
std::string words_of(const ShiftRequest& request) {
  if (request.fake) return "by " + request.fake->name();
  return request.continued ? request.continued->words : clock::words(request.clocks);
}

Status plan_pages(PlannedTarget& target, const ShiftRequest& request) {
  const pid_t pid = target.process.pid();
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(target.attach,
         vdso::make_plan(pid, memory, request.detour, request.modules, request.fake));
  return {};
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
  return plan_pages(target, request);
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
  constexpr int kAttempts = 4;
  for (int attempt = 1;; attempt++) {
    auto report = vdso::attach(pid, *target.attach, options, maps, header);
    if (report || report.error().error_number() != EEXIST || attempt == kAttempts) return report;
    TC_CHECK(plan_pages(target, request));  // a program may map memory all the time
  }
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

std::optional<clock::Reading> end_of(const clock::ClockMaps& maps, clock::ClockSet clocks) {
  for (int c = 0; c < TC_CLOCK_COUNT; c++) {
    const tc_clock_map& map = maps[static_cast<size_t>(c)];
    if (clocks.has(c) && map.until_sec != TC_NEVER && !clock::is_monotonic(c)) {
      return clock::Reading{map.until_sec, map.until_nsec};
    }
  }
  return std::nullopt;
}

Result<Shifted> shift_target(PlannedTarget& target, const ShiftRequest& request, SyscallSide& side,
                             size_t number) {
  auto shifted = shift(target, request, side, number);
  if (!shifted) {
    return fail(shifted.error().because_of("cannot shift " + target.process.label()));
  }
  return shifted;
}

}  // namespace time_chaos::experiment
