#include "agent/vdso/plt_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "agent/targets/mappings.h"
#include "agent/vdso/plt_scan.h"

namespace time_chaos::vdso {
namespace {

using payload::SlotRecord;
using payload::SlotTable;

bool leads_to_us(const tracee::Memory& memory, const PltPlace& place, const SlotRecord& slot) {
  const auto now = memory.read_value<uint64_t>(slot.address);
  return now && *now == place.hook(slot);
}

Status put_names(const std::vector<std::string>& modules, SlotTable& table) {
  TC_TRY(const std::string names, table_names(modules));
  std::memset(table.modules, 0, sizeof table.modules);
  names.copy(table.modules, sizeof table.modules - 1);
  return {};
}

}  // namespace

Result<SlotTable> read_slot_table(const tracee::Memory& memory, const PltPlace& place) {
  TC_TRY(auto table, memory.read_value<SlotTable>(place.table()));
  if (table.magic != payload::kSlotTableMagic) {
    return fail(Exit::kFailed, "its slot table is not as written");
  }
  table.count = std::min(table.count, payload::kMostSlots);
  table.modules[sizeof table.modules - 1] = '\0';
  return table;
}

Result<std::vector<SlotRecord>> read_slots(const tracee::Memory& memory, const PltPlace& place) {
  TC_TRY(const auto table, read_slot_table(memory, place));
  std::vector<SlotRecord> slots(table.count);
  TC_CHECK(memory.read(place.plt + payload::kSlotsOffset, {reinterpret_cast<uint8_t*>(slots.data()),
                                                           slots.size() * sizeof(SlotRecord)}));
  return slots;
}

size_t led_slots(const tracee::Memory& memory, const PltPlace& place,
                 const std::vector<SlotRecord>& slots) {
  return static_cast<size_t>(std::count_if(slots.begin(), slots.end(), [&](const SlotRecord& slot) {
    return leads_to_us(memory, place, slot);
  }));
}

Result<LedSlots> find_led(pid_t pid, const tracee::Memory& memory, const PltPlace& place) {
  TC_TRY(auto slots, read_slots(memory, place));
  std::erase_if(slots, [&](const SlotRecord& s) { return !leads_to_us(memory, place, s); });
  LedSlots led{slots.size(), {}};
  TC_TRY(const elf::LinkMap map, read_modules(pid, memory));
  TC_TRY(const auto mappings, targets::Mappings::read(pid));
  std::set<std::pair<std::string, uint64_t>> files;
  for (const SlotRecord& slot : slots) {
    if (const auto* mapping = mappings.at(slot.address)) {
      files.emplace(mapping->device, mapping->inode);
    }
  }
  for (const elf::Module& module : map.modules) {
    const targets::Mapping* mapping = mappings.at(module.dynamic);
    if (mapping == nullptr || files.count({mapping->device, mapping->inode}) == 0) continue;
    led.modules.push_back(module_name(module));
  }
  return led;
}

Result<std::string> table_names(std::vector<std::string> modules) {
  std::sort(modules.begin(), modules.end());
  modules.erase(std::unique(modules.begin(), modules.end()), modules.end());
  std::string names = fmt::format("{}", fmt::join(modules, "\n"));
  if (names.size() < sizeof SlotTable::modules) return names;
  return fail(Exit::kUnsupported, "the names of so many modules cannot be kept in it",
              "name fewer of them, or leave out --module for all");
}

Status write_plt_pages(tracee::Memory& memory, const PltPlace& place,
                       const payload::LibraryFunctions& library,
                       const std::vector<std::string>& modules) {
  SlotTable table;
  table.active = 1;
  TC_CHECK(put_names(modules, table));
  TC_CHECK(memory.write_value(place.table(), table));
  return memory.write(place.plt, payload::plt_code(place.code, library));
}

Status activate(tracee::Memory& memory, const PltPlace& place,
                const std::vector<std::string>& modules) {
  SlotTable table;
  TC_CHECK(put_names(modules, table));
  TC_CHECK(memory.write(place.table() + offsetof(SlotTable, modules),
                        {reinterpret_cast<const uint8_t*>(table.modules), sizeof table.modules}));
  return memory.write_value(place.table() + offsetof(SlotTable, active), uint32_t{1});
}

Status deactivate(tracee::Memory& memory, const PltPlace& place) {
  return memory.write_value(place.table() + offsetof(SlotTable, active), uint32_t{0});
}

}  // namespace time_chaos::vdso
