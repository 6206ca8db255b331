// PLT mode, where an ended experiment is taken over because monotonic clocks were kept ahead: slots
// lead to our pages already, those of the modules that were asked for then.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/vdso/find.h"
#include "agent/vdso/plt_table.h"

namespace time_chaos::experiment {

// The slots that will lead to us once it is taken over: those that do, and those of libraries that
// were loaded since. kUnsupported where others are asked for now than then; kNoTarget where one of
// them is not loaded any more.
Result<vdso::LedSlots> plan_taken_slots(pid_t pid, const tracee::Memory& memory,
                                        const vdso::Found& found,
                                        const std::vector<std::string>& modules);

// Leads those that do not yet.
Result<vdso::LedSlots> take_slots(pid_t pid, const vdso::Found& found,
                                  const std::vector<std::string>& modules);

}  // namespace time_chaos::experiment
