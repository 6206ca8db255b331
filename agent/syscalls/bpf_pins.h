// Pins under bpffs: what keeps a BPF engine alive without its agent. One directory an engine, by
// its id, in /sys/fs/bpf/time-chaos.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/base/error.h"
#include "agent/syscalls/bpf_load.h"

namespace time_chaos::syscalls {

// Can pins be made here? kUnsupported, with the remedy, where bpffs is not mounted.
Status pins_possible();

// All of them, or none and the reason.
Status pin_links(uint32_t engine, const std::vector<BpfLink>& links);

// The engine ends when nobody else holds it. Not an error if it has no pins.
Status unpin(uint32_t engine);
bool is_pinned(uint32_t engine);

}  // namespace time_chaos::syscalls
