#include "agent/vdso/plt_slots.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "agent/tracee/world.h"
#include "agent/vdso/plt_scan.h"

namespace time_chaos::vdso {
namespace {

using payload::SlotRecord;
using payload::SlotTable;
using tracee::StoppedWorld;

constexpr int kMostStops = 60;
constexpr int kMostRounds = 8;
// By then a thread that was binding a slot when it was changed has bound it.
constexpr std::chrono::milliseconds kBinding(10);
constexpr std::chrono::milliseconds kLoading(5);

Status write_count(tracee::Memory& memory, const PltPlace& place, uint32_t count) {
  return memory.write_value(place.table() + offsetof(SlotTable, count), count);
}

// Slots as they are to be, with the places of their records in the table. A record whose slot is
// gone, or leads elsewhere by now, makes room for another.
class Recorder {
 public:
  Recorder(tracee::Memory& memory, const PltPlace& place) : memory_(memory), place_(place) {}

  Status record(const std::vector<SlotRecord>& wanted) {
    TC_CHECK(note_copies(wanted));
    TC_TRY(std::vector<SlotRecord> known, read_slots(memory_, place_));
    auto count = static_cast<uint32_t>(known.size());
    for (const SlotRecord& slot : wanted) {
      auto at = std::find_if(known.begin(), known.end(),
                             [&](const SlotRecord& k) { return k.address == slot.address; });
      if (at == known.end())
        at = std::find_if(known.begin(), known.end(), [&](const auto& k) {
          return led_slots(memory_, place_, {k}) == 0 && !is_wanted(wanted, k);
        });
      if (at == known.end()) {
        if (count == payload::kMostSlots) {
          return fail(Exit::kUnsupported,
                      fmt::format("it has more than {} slots for clock functions", count),
                      "choose modules with --module");
        }
        at = known.insert(known.end(), slot);
        count++;
      }
      *at = slot;
      const auto index = static_cast<uint64_t>(at - known.begin());
      TC_CHECK(memory_.write_value(place_.plt + payload::kSlotsOffset + index * sizeof(SlotRecord),
                                   slot));
    }
    return write_count(memory_, place_, count);
  }

 private:
  Status note_copies(const std::vector<SlotRecord>& wanted) {
    TC_TRY(const SlotTable table, read_slot_table(memory_, place_));
    uint32_t copied = table.copied;
    for (const SlotRecord& slot : wanted) {
      if (slot.copied != 0) copied |= 1U << slot.function;
    }
    if (copied == table.copied) return {};
    return memory_.write_value(place_.table() + offsetof(SlotTable, copied), copied);
  }

  static bool is_wanted(const std::vector<SlotRecord>& wanted, const SlotRecord& slot) {
    return std::any_of(wanted.begin(), wanted.end(),
                       [&](const SlotRecord& w) { return w.address == slot.address; });
  }

  tracee::Memory& memory_;
  const PltPlace& place_;
};

// `write`: what is to be done while nobody moves.
template <typename Write>
Status in_stopped_world(pid_t pid, tracee::Memory& memory, SlotRun& run, Write&& write) {
  TC_TRY(StoppedWorld world, StoppedWorld::stop(pid));
  const auto stopped = std::find_if(world.threads().begin(), world.threads().end(),
                                    [](const auto& t) { return t.stopped; });
  if (stopped != world.threads().end()) memory.poke_through(stopped->thread);
  const Status status = write();
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
      TC_CHECK(Recorder(memory, place).record(scan.slots));
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
