// Processes in one address space, as the parent of a vfork and its child: what is unmapped in one
// is gone for the other.
#pragma once

#include <sys/types.h>

#include <optional>

namespace time_chaos::targets {

// Another process that has the memory of this one. Nothing where there is none to be seen, or the
// kernel does not compare processes (CONFIG_KCMP).
std::optional<pid_t> find_memory_sharer(pid_t pid);

}  // namespace time_chaos::targets
