// Processes by control group, of either version.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::targets {

struct Cgroup {
  std::string directory;
  // What the kernel knows it by (version 2 only: its directory's inode, kernfs_ino); 0: version 1.
  uint64_t id = 0;
};

// `path`: its directory, or its path as /proc/PID/cgroup has it. kNoTarget when there is none.
Result<Cgroup> find_cgroup(const std::string& path);

// The processes in it and below it, ascending, without the agent itself and zombies.
std::vector<pid_t> processes_in(const Cgroup& cgroup);

}  // namespace time_chaos::targets
