// Which namespace a process is in, as the inode of /proc/PID/ns/KIND (namespaces(7)). The initial
// ones have fixed numbers (include/linux/proc_ns.h, in every kernel since 3.8).
#pragma once

#include <cstdint>
#include <string_view>

#include "agent/base/error.h"

namespace time_chaos::targets {

inline constexpr uint64_t kInitialUserNamespace = 0xEFFFFFFD;  // PROC_USER_INIT_INO

// `process`: a pid in decimal, or "self"; `kind`: "pid", "user", ... "self" is right even where
// /proc shows the pids of another namespace.
Result<uint64_t> namespace_inode(std::string_view process, std::string_view kind);

}  // namespace time_chaos::targets
