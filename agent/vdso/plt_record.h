// PLT mode: the records of slots, in the table in a target, from which whoever comes later puts
// them back. They are written before the slots are, while everybody stands still.
#pragma once

#include <vector>

#include "agent/base/error.h"
#include "agent/vdso/plt_table.h"

namespace time_chaos::vdso {

// For slots that do not lead to us yet. A record whose slot is gone, or leads elsewhere by now,
// makes room for another. kUnsupported, and nothing written, where there is none.
Status record_slots(tracee::Memory& memory, const PltPlace& place,
                    const std::vector<payload::SlotRecord>& wanted);

}  // namespace time_chaos::vdso
