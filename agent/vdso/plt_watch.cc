#include "agent/vdso/plt_watch.h"

#include <algorithm>

#include "agent/tracee/session.h"
#include "agent/vdso/hold.h"
#include "agent/vdso/plt_slots.h"

namespace time_chaos::vdso {
namespace {

// The loader says that its list is consistent when a library is in it, and only then fills its
// slots, for as long as the resolvers of its functions take; until then they cannot be told. So it
// is looked at this often, some seconds, after each change of the list.
constexpr int kSettling = 50;

std::vector<uint64_t> values_of(const tracee::Memory& memory,
                                const std::vector<payload::SlotRecord>& slots) {
  std::vector<uint64_t> values;
  values.reserve(slots.size());
  for (const payload::SlotRecord& slot : slots) {
    values.push_back(memory.read_value<uint64_t>(slot.address).value_or(0));
  }
  return values;
}

// Without those that were named and are not loaded now.
std::vector<std::string> loaded_only(std::vector<std::string> names, const elf::LinkMap& map) {
  std::erase_if(names, [&](const std::string& name) { return !is_loaded(map, name); });
  return names;
}

}  // namespace

Result<size_t> PltWatch::look() {
  TC_TRY(const auto found, find_experiment(pid_));
  if (!found || !found->slots || found->slots->active == 0) return size_t{0};
  const PltPlace place = found->plt();
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid_));
  TC_TRY(const elf::LinkMap map, read_modules(pid_, memory));
  if (!map.consistent) return size_t{0};
  TC_TRY(auto slots, read_slots(memory, place));
  auto values = values_of(memory, slots);
  if (map.modules != loaded_) {
    loaded_ = map.modules;
    looks_left_ = kSettling;
  }
  if (looks_left_ == 0 && values == values_) return size_t{0};
  size_t led = 0;
  const auto wanted = loaded_only(modules_, map);
  if (modules_.empty() || !wanted.empty()) {
    // Nobody is stopped where there is nothing to do.
    TC_TRY(const SlotScan scan, scan_slots(pid_, memory, wanted));
    if (!scan.slots.empty()) {
      TC_TRY(led, lead(place, wanted));
    }
  }
  TC_TRY(slots, read_slots(memory, place));
  values_ = values_of(memory, slots);
  if (looks_left_ > 0) looks_left_--;
  return led;
}

Result<size_t> PltWatch::lead(const PltPlace& place, const std::vector<std::string>& wanted) const {
  return tracee::in_session([&]() -> Result<size_t> {
    TC_TRY(const Hold hold, Hold::take(pid_));
    // Another agent may have recovered it meanwhile.
    TC_TRY(const auto found, find_experiment(pid_));
    const bool same = found && found->slots && found->slots->active != 0 &&
                      found->code == place.code && found->record.plt == place.plt;
    if (!same) return size_t{0};
    TC_TRY(tracee::Memory memory, tracee::Memory::open(pid_));
    TC_TRY(const SlotRun run, lead_slots(pid_, memory, place, wanted));
    return run.changed;
  });
}

}  // namespace time_chaos::vdso
