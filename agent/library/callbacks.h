// Calls of the user's functions: by every thread, without a lock, and without calling itself.
//
// A table says which function is called for what; it is exchanged as a whole, by one store. Each
// thread has a slot in which it counts: odd while it is in a callback. Whoever has exchanged the
// table waits until every slot that was odd has changed, and knows then that nobody is in a
// function of the old one. The wait pays for the fences that the callers leave out (membarrier).
#pragma once

#include <array>
#include <cstdint>

#include "agent/base/error.h"
#include "agent/library/functions.h"
#include "time_chaos/time_chaos.h"

namespace time_chaos::library {

// Per function: the members of tc_functions that are not NULL, each with its own layer's data.
struct Table {
  tc_functions functions{};
  std::array<void*, kFunctionCount> data{};
};

// What the hooks call when there is no callback for a function, and what callbacks may call.
// Before the first thread can get to a hook.
void set_below(Function function, uint64_t address);
void set_original_clock_gettime(uint64_t address);
const tc_original& original();

// The address of what replaces a function while there is a callback for it.
uint64_t hook(Function function);

// False: a callback has not returned within 10 seconds. The table is in force all the same.
Result<bool> exchange(const Table& table);

// This thread is inside a callback now.
bool in_callback();

// In a forked child: the other threads are not there.
void forget_other_threads();

}  // namespace time_chaos::library
