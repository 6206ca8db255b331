// PLT mode: our pages in a target, and the table in them of the slots that lead to us.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/payload/plt.h"
#include "agent/tracee/memory.h"

namespace time_chaos::vdso {

// Our pages in a target.
struct PltPlace {
  uint64_t code = 0;
  uint64_t plt = 0;
  [[nodiscard]] uint64_t table() const { return plt + payload::kSlotTableOffset; }
  [[nodiscard]] uint64_t hook(const payload::SlotRecord& slot) const {
    return payload::imported_hook(static_cast<payload::Imported>(slot.function), code, plt);
  }
};

// What the table in a target says; not trusted, so bounded. kFailed when there is no table.
Result<payload::SlotTable> read_slot_table(const tracee::Memory& memory, const PltPlace& place);
Result<std::vector<payload::SlotRecord>> read_slots(const tracee::Memory& memory,
                                                    const PltPlace& place);
// How many of them lead to our functions now.
size_t led_slots(const tracee::Memory& memory, const PltPlace& place,
                 const std::vector<payload::SlotRecord>& slots);

// The slots of the table that lead to our functions now, and the names of their modules.
struct LedSlots {
  size_t count = 0;
  std::vector<std::string> modules;
};
Result<LedSlots> find_led(pid_t pid, const tracee::Memory& memory, const PltPlace& place);

// Names as they stand in the table: those of the same modules are equal. kUnsupported where it has
// no room for them.
Result<std::string> table_names(std::vector<std::string> modules);

// A table without slots, and the functions.
Status write_plt_pages(tracee::Memory& memory, const PltPlace& place,
                       const payload::LibraryFunctions& library,
                       const std::vector<std::string>& modules);
// Of a table that is there: slots may be led to us, those of these modules; and all have been put
// back.
Status activate(tracee::Memory& memory, const PltPlace& place,
                const std::vector<std::string>& modules);
Status deactivate(tracee::Memory& memory, const PltPlace& place);

}  // namespace time_chaos::vdso
