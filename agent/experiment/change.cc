#include "agent/experiment/change.h"

#include <fmt/format.h>

#include "agent/clock/course.h"
#include "agent/experiment/check_carrier.h"
#include "agent/experiment/owner.h"
#include "agent/experiment/page_words.h"
#include "agent/experiment/shift.h"
#include "agent/experiment/waits_in_flight.h"
#include "agent/vdso/clock_page.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::steady_clock;

// What is left until the maps end, so that new maps end at the same moment.
std::optional<std::chrono::nanoseconds> left_of(const clock::ClockMaps& maps,
                                                clock::ClockSet clocks,
                                                const clock::HostReadings& now) {
  for (size_t c = 0; c < maps.size(); c++) {
    if (!clocks.has(static_cast<int>(c))) continue;
    if (maps[c].until_sec == TC_NEVER || maps[c].until_sec == 0) continue;
    return clock::minus({maps[c].until_sec, maps[c].until_nsec}, now[c]);
  }
  return std::nullopt;
}

// The page's own clocks where `spec` names none; what came of it goes into `changed`.
Status update(vdso::ClockPage& page, clock::ClockSpec spec, Changed& changed) {
  return page.update([&](clock::ClockMaps& maps, tc_clock_page& header) -> Status {
    if (spec.clocks.empty()) spec.clocks = clock::ClockSet(header.clocks);
    const clock::HostReadings now = clock::read_host_clocks();
    const auto left = left_of(maps, clock::ClockSet(header.clocks), now);
    if (left && *left <= std::chrono::nanoseconds(0)) {
      return fail(Exit::kFailed, "its lease has ended", "start anew with time-chaos agent");
    }
    TC_TRY(const clock::MapPlan plan, clock::plan_shift(spec, maps, now, left));
    if (plan.program) {
      return fail(Exit::kUnsupported, "a schedule that long has to be fed to its target bit by bit",
                  "use an agent that stays: time-chaos agent --schedule");
    }
    maps = plan.maps;
    changed.kept = plan.kept;
    changed.offset = first_shift(plan.maps, spec.clocks, now);
    header.clocks = spec.clocks.bits();
    write_words(header, changed.words);
    return {};
  });
}

Result<Changed> apply(const Carrier& carrier, clock::ClockSpec spec) {
  if (carrier.found.state != vdso::State::kShifted || carrier.experiment().empty()) {
    return fail(Exit::kNoTarget, "no experiment runs in it", "start one with time-chaos agent");
  }
  if (const auto& fake = carrier.found.fake) {
    return fail(Exit::kUnsupported, fmt::format("{} says what its clocks show", fake->name()),
                "end that with time-chaos recover, and start another experiment");
  }
  if (spec.clocks.empty()) spec.clocks = clock::ClockSet(carrier.found.page.clocks);
  Changed changed;
  changed.pid = carrier.process.pid();
  changed.command = carrier.process.name();
  changed.experiment = carrier.experiment();
  changed.clocks = spec.clocks;
  changed.words = clock::words(spec);
  TC_TRY(vdso::ClockPage page, open_page(carrier));
  const clock::ClockMaps maps_before = maps_in_force(carrier.bpf);
  const auto before = steady_clock::now();
  TC_CHECK(update(page, spec, changed));
  changed.took = steady_clock::now() - before;
  if (is_followed(carrier)) tell_owner(carrier.found.page);
  begin_waits_anew(carrier, maps_before);
  TC_TRY(changed.checked, CarrierCheck().run(carrier));
  return changed;
}

}  // namespace

Result<Changed> change(const Carrier& carrier, const clock::ClockSpec& spec) {
  auto changed = apply(carrier, spec);
  if (!changed) {
    return fail(changed.error().because_of(fmt::format("cannot set {}", carrier.process.label())));
  }
  return changed;
}

Result<Changed> change(vdso::ClockPage& page, const clock::ClockSpec& spec) {
  Changed changed;
  changed.words = clock::words(spec);
  const auto before = steady_clock::now();
  TC_CHECK(update(page, spec, changed));
  changed.took = steady_clock::now() - before;
  TC_TRY(const tc_clock_page now, page.read());
  changed.clocks = clock::ClockSet(now.clocks);
  changed.experiment = now.experiment;
  return changed;
}

Status renew(const Carrier& carrier, std::optional<std::chrono::nanoseconds> lease,
             const clock::Programs& programs) {
  TC_TRY(vdso::ClockPage page, open_page(carrier));
  return renew(page, lease, programs);
}

Status renew(vdso::ClockPage& page, std::optional<std::chrono::nanoseconds> lease,
             const clock::Programs& programs) {
  return page.update([&](clock::ClockMaps& maps, tc_clock_page& header) {
    maps = clock::renewed(maps, clock::ClockSet(header.clocks), clock::read_host_clocks(), lease,
                          programs);
    return Status();
  });
}

}  // namespace time_chaos::experiment
