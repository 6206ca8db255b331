#include "agent/targets/permission.h"

#include <linux/capability.h>
#include <unistd.h>

namespace time_chaos::targets {
namespace {

constexpr const char* kGeneral = "run as the target's user, as root, or with CAP_SYS_PTRACE";

bool in(uint64_t set, int capability) {
  return (set >> capability & 1) != 0;
}

// A process outside containers may gain every capability, by executing a setuid program.
bool is_confined(const ProcStatus& agent) {
  return !in(agent.bounding_capabilities, CAP_SYS_PTRACE) ||
         !in(agent.bounding_capabilities, CAP_SYS_ADMIN);
}

ProcStatus own_status() {
  return read_status(::getpid()).value_or(ProcStatus());
}

}  // namespace

std::string reach_remedy(const ProcStatus& agent) {
  if (in(agent.effective_capabilities, CAP_SYS_PTRACE)) {
    return in(agent.effective_capabilities, CAP_DAC_OVERRIDE)
               ? kGeneral
               : "add CAP_DAC_OVERRIDE, without which the memory of another user's process does "
                 "not open, or run as the target's user";
  }
  if (!is_confined(agent)) return kGeneral;
  if (!in(agent.bounding_capabilities, CAP_SYS_PTRACE)) {
    return "add SYS_PTRACE and DAC_OVERRIDE to this container's capabilities and run it as root "
           "(runAsUser: 0), or run it as the target's user";
  }
  return "run this container as root (runAsUser: 0), whom alone added capabilities reach, or as "
         "the target's user";
}

std::string ptrace_remedy(const ProcStatus& agent) {
  if (agent.seccomp_mode == 0) return kGeneral;
  return "allow ptrace in this agent's own seccomp profile (in Kubernetes seccompProfile: "
         "RuntimeDefault does)";
}

std::string reach_remedy() {
  return reach_remedy(own_status());
}
std::string ptrace_remedy() {
  return ptrace_remedy(own_status());
}

}  // namespace time_chaos::targets
