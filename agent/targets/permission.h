// What an agent that was refused can do about it. In a container the general answer ("as root")
// helps nobody: it is root already, and lacks one capability, or it was given one that did not
// reach it.
#pragma once

#include <cstdint>
#include <string>

namespace time_chaos::targets {

struct Privileges {
  uint32_t uid = 0;  // effective
  uint64_t effective = 0;
  uint64_t bounding = 0;  // capabilities that could be gained
  bool filtered = false;  // by seccomp
};

// For the refusal of /proc/PID/mem, and of whatever else the kernel asks ptrace's question for.
std::string reach_remedy(const Privileges& agent);
// For the refusal of ptrace itself where /proc/PID/mem was opened, which asks the same question.
std::string ptrace_remedy(const Privileges& agent);

// Of this agent.
std::string reach_remedy();
std::string ptrace_remedy();

}  // namespace time_chaos::targets
