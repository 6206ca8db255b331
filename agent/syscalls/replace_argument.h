// An argument of a call is replaced for the time of that call (agent/tracee/call_slot.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/base/error.h"
#include "agent/syscalls/followed.h"

namespace time_chaos::syscalls {

// What an argument points at: nothing where the target itself could not read it either, and the
// kernel will say so.
std::optional<std::vector<uint8_t>> read_argument(FollowedThread& thread, uint64_t address,
                                                  size_t size);

// `thread` stands at the entry of a call. By `given`, or by the address of a copy of `data`. False:
// more slots have been mapped first, and the call is made again. After an error it is as it was.
// To be followed by put_argument_back().
Result<bool> replace_argument(FollowedThread& thread, tracee::ReplacedArgument replaced,
                              std::span<const uint8_t> data, std::optional<uint64_t> given = {});

// At the exit of that call, before anything else looks at the registers.
Status put_argument_back(FollowedThread& thread);

}  // namespace time_chaos::syscalls
