#include "agent/experiment/change.h"

#include <fmt/format.h>

#include "agent/experiment/shift.h"
#include "agent/vdso/clock_page.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::steady_clock;

// What is left until the maps end, so that new maps end at the same moment.
std::optional<std::chrono::nanoseconds> left_of(const clock::ClockMaps& maps,
                                                const clock::HostReadings& now) {
  std::optional<std::chrono::nanoseconds> left;
  for (size_t c = 0; c < maps.size(); c++) {
    if (maps[c].until_sec == TC_NEVER || maps[c].until_sec == 0) continue;
    left = clock::minus({maps[c].until_sec, maps[c].until_nsec}, now[c]);
    break;
  }
  return left;
}

Result<std::vector<Checked>> check(const Carrier& carrier) {
  std::vector<Checked> checked;
  if (carrier.has_pages()) {
    TC_TRY(const auto found, vdso::find_experiment(carrier.process.pid()));
    if (!found) return fail(Exit::kNoTarget, "the experiment ended meanwhile");
    if (found->record.patch_count != 0) {
      TC_TRY(auto seen, check_vdso(carrier.process.pid(), *found));
      checked.push_back(std::move(seen));
    }
  }
  if (carrier.bpf) {
    TC_TRY(auto seen, check_syscalls(*carrier.bpf));
    checked.push_back(std::move(seen));
  }
  return checked;
}

Result<Changed> apply(const Carrier& carrier, clock::ClockSet clocks,
                      std::chrono::nanoseconds offset) {
  if (carrier.found.state != vdso::State::kShifted || carrier.experiment().empty()) {
    return fail(Exit::kNoTarget, "no experiment runs in it", "start one with time-chaos agent");
  }
  const pid_t pid = carrier.process.pid();
  Changed changed{pid, carrier.process.name(), carrier.experiment(), clocks, offset, {}, {}, {}};
  if (changed.clocks.empty()) changed.clocks = clock::ClockSet(carrier.found.page.clocks);
  TC_TRY(vdso::ClockPage page, open_page(carrier));
  const auto before = steady_clock::now();
  TC_CHECK(page.update([&](clock::ClockMaps& maps, tc_clock_page& header) -> Status {
    const clock::HostReadings now = clock::read_host_clocks();
    const auto left = left_of(maps, now);
    if (left && *left <= std::chrono::nanoseconds(0)) {
      return fail(Exit::kFailed, "its lease has ended", "start anew with time-chaos agent");
    }
    TC_TRY(const clock::MapPlan plan,
           clock::plan_shift({changed.clocks, changed.offset}, maps, now, left));
    maps = plan.maps;
    changed.kept = plan.kept;
    header.clocks = changed.clocks.bits();
    return {};
  }));
  changed.took = steady_clock::now() - before;
  TC_TRY(changed.checked, check(carrier));
  return changed;
}

}  // namespace

Result<Changed> change(const Carrier& carrier, clock::ClockSet clocks,
                       std::chrono::nanoseconds offset) {
  auto changed = apply(carrier, clocks, offset);
  if (!changed) {
    return fail(changed.error().because_of(fmt::format("cannot set {}", carrier.process.label())));
  }
  return changed;
}

Status renew(const Carrier& carrier, std::chrono::nanoseconds lease) {
  TC_TRY(vdso::ClockPage page, open_page(carrier));
  return page.update([&](clock::ClockMaps& maps, tc_clock_page&) {
    maps = clock::with_lease(maps, clock::read_host_clocks(), lease);
    return Status();
  });
}

}  // namespace time_chaos::experiment
