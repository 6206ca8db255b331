#include "tests/bench/detour.h"

#include "agent/clock/rate_map.h"
#include "agent/vdso/clock_page.h"

namespace time_chaos::bench {
namespace {

constexpr std::chrono::hours kAhead{1};
constexpr double kRate = 1.5;

void mark(tc_clock_page& page) {
  page.clocks = clock::ClockSet::wall().bits();
}

Result<vdso::Found> find(pid_t pid) {
  TC_TRY(auto found, vdso::find_experiment(pid));
  if (!found) return fail(Exit::kFailed, "the worker carries no experiment");
  return *found;
}

}  // namespace

clock::ClockMaps offset_maps() {
  clock::ClockMaps maps = clock::identity_maps();
  for (tc_clock_map& map : maps) map.fake_sec = std::chrono::seconds(kAhead).count();
  return maps;
}

clock::ClockMaps rate_maps() {
  clock::ClockMaps maps{};
  const clock::HostReadings now = clock::read_host_clocks();
  for (size_t i = 0; i < maps.size(); ++i) {
    maps[i] = clock::make_rate_map(now[i], clock::plus(now[i], kAhead), kRate);
  }
  return maps;
}

Result<vdso::AttachReport> attach(pid_t pid, vdso::Detour detour, const clock::ClockMaps& maps) {
  TC_TRY(const auto left, vdso::find_experiment(pid));
  if (left) return vdso::reuse(pid, *left, {}, maps, mark);
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(const vdso::AttachPlan plan, vdso::make_plan(pid, memory, detour));
  return vdso::attach(pid, plan, {}, maps, mark);
}

Status publish(pid_t pid, const clock::ClockMaps& maps) {
  TC_TRY(const vdso::Found found, find(pid));
  TC_TRY(vdso::ClockPage page, vdso::ClockPage::open(pid, found.clock_page()));
  return page.publish(maps);
}

Status recover(pid_t pid) {
  TC_CHECK(publish(pid, clock::identity_maps()));
  TC_TRY(const vdso::Found found, find(pid));
  TC_TRY(const vdso::RecoverReport report, vdso::recover(pid, found, false));
  if (!report.bytes_restored) return fail(Exit::kFailed, "the worker's vDSO was not restored");
  return {};
}

Result<bool> all_one_byte(pid_t pid) {
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(const vdso::AttachPlan plan, vdso::make_plan(pid, memory, vdso::Detour::kAuto));
  return !plan.needs_stopped_world();
}

}  // namespace time_chaos::bench
