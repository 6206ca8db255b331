#include "agent/vdso/plt_slots.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "agent/tracee/world.h"
#include "agent/vdso/plt_record.h"
#include "agent/vdso/plt_scan.h"

namespace time_chaos::vdso {
namespace {

using payload::SlotRecord;
using tracee::StoppedWorld;

constexpr int kMostStops = 60;
constexpr int kMostRounds = 8;
// By then a thread that was binding a slot when it was changed has bound it.
constexpr std::chrono::milliseconds kBinding(10);
constexpr std::chrono::milliseconds kLoading(5);

// `write`: what is to be done while nobody moves.
template <typename Write>
Status in_stopped_world(pid_t pid, tracee::Memory& memory, SlotRun& run, Write&& write) {
  TC_TRY(StoppedWorld world, StoppedWorld::stop(pid));
  const auto stopped = std::find_if(world.threads().begin(), world.threads().end(),
                                    [](const auto& t) { return t.stopped; });
  if (stopped != world.threads().end()) memory.poke_through(stopped->thread);
  Status status = write();
  memory.stop_poking();
  world.release();
  run.world_stopped =
      std::max(run.world_stopped.value_or(std::chrono::nanoseconds(0)), world.held_for());
  return status;
}

// Apart from what came in addition.
bool still_loaded(const elf::LinkMap& before, const elf::LinkMap& now) {
  return std::all_of(before.modules.begin(), before.modules.end(), [&](const auto& module) {
    return std::any_of(now.modules.begin(), now.modules.end(), [&](const auto& other) {
      return other.base == module.base && other.dynamic == module.dynamic;
    });
  });
}

// The same at a moment at which the loader changes nothing. Where something that was decided on
// (`before`) is gone, nothing is written: the next look decides anew.
template <typename Write>
Status while_loaded(pid_t pid, tracee::Memory& memory, const elf::LinkMap& before, SlotRun& run,
                    Write&& write) {
  for (int stops = 0; stops < kMostStops; stops++) {
    if (stops > 0) std::this_thread::sleep_for(kLoading);
    bool settled = false;
    TC_CHECK(in_stopped_world(pid, memory, run, [&]() -> Status {
      TC_TRY(const elf::LinkMap now, read_modules(pid, memory));
      settled = now.consistent;
      return settled && still_loaded(before, now) ? write() : Status();
    }));
    if (settled) return {};
  }
  return fail(Exit::kFailed, "its loader does not finish what it is at", "try again");
}

// Slots whose value is still `from` get `to`, read back.
template <typename From, typename To>
Result<size_t> exchange(tracee::Memory& memory, const std::vector<SlotRecord>& slots, From&& from,
                        To&& to) {
  size_t changed = 0;
  for (const SlotRecord& slot : slots) {
    const auto now = memory.read_value<uint64_t>(slot.address);
    if (!now || *now != from(slot)) continue;
    TC_CHECK(memory.write_value(slot.address, to(slot)));
    TC_TRY(const auto after, memory.read_value<uint64_t>(slot.address));
    if (after != to(slot)) {
      return fail(
          Exit::kFailed,
          fmt::format("the slot at {:#x} did not take what was written to it", slot.address));
    }
    changed++;
  }
  return changed;
}

}  // namespace

Result<SlotRun> lead_slots(pid_t pid, tracee::Memory& memory, const PltPlace& place,
                           const std::vector<std::string>& modules) {
  SlotRun run;
  for (int round = 0; round < kMostRounds; round++) {
    if (round > 0) std::this_thread::sleep_for(kBinding);
    TC_TRY(const SlotScan scan, scan_slots(pid, memory, modules));
    if (scan.slots.empty()) {
      if (round > 0) break;  // twice nothing, or all led and still led
      continue;
    }
    size_t changed = 0;
    const auto write = [&]() -> Status {
      TC_CHECK(record_slots(memory, place, scan.slots));
      const auto from = [](const SlotRecord& slot) { return slot.original; };
      const auto to = [&](const SlotRecord& slot) { return place.hook(slot); };
      TC_TRY(changed, exchange(memory, scan.slots, from, to));
      return {};
    };
    TC_CHECK(while_loaded(pid, memory, scan.map, run, write));
    run.changed += changed;
  }
  return run;
}

Result<SlotRun> restore_slots(pid_t pid, tracee::Memory& memory, const PltPlace& place) {
  SlotRun run;
  TC_TRY(const auto slots, read_slots(memory, place));
  if (led_slots(memory, place, slots) != 0) {
    const auto write = [&]() -> Status {
      const auto from = [&](const SlotRecord& slot) { return place.hook(slot); };
      const auto to = [](const SlotRecord& slot) { return slot.original; };
      TC_TRY(run.changed, exchange(memory, slots, from, to));
      return {};
    };
    TC_CHECK(in_stopped_world(pid, memory, run, write));
  }
  return run;
}

}  // namespace time_chaos::vdso
