#include "agent/targets/permission.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

constexpr const char* kGeneral = "run as the target's user, as root, or with CAP_SYS_PTRACE";

bool in(uint64_t set, int capability) {
  return (set >> capability & 1) != 0;
}

// A process outside containers may gain every capability, by executing a setuid program.
bool is_confined(const Privileges& agent) {
  return !in(agent.bounding, CAP_SYS_PTRACE) || !in(agent.bounding, CAP_SYS_ADMIN);
}

Privileges own_privileges() {
  const ProcStatus status = read_status(::getpid()).value_or(ProcStatus());
  Privileges own{status.uid, status.effective_capabilities, 0, status.seccomp_mode != 0};
  for (int capability = 0; capability < 64; capability++) {
    if (::prctl(PR_CAPBSET_READ, capability) == 1) own.bounding |= uint64_t{1} << capability;
  }
  return own;
}

}  // namespace

std::string reach_remedy(const Privileges& agent) {
  if (in(agent.effective, CAP_SYS_PTRACE)) {
    return in(agent.effective, CAP_DAC_OVERRIDE)
               ? kGeneral
               : "add CAP_DAC_OVERRIDE, without which the memory of another user's process does "
                 "not open, or run as the target's user";
  }
  if (!is_confined(agent)) return kGeneral;
  if (!in(agent.bounding, CAP_SYS_PTRACE)) {
    return "add SYS_PTRACE and DAC_OVERRIDE to this container's capabilities and run it as root "
           "(runAsUser: 0), or run it as the target's user";
  }
  return "run this container as root (runAsUser: 0), whom alone added capabilities reach, or as "
         "the target's user";
}

std::string ptrace_remedy(const Privileges& agent) {
  if (!agent.filtered) return kGeneral;
  return "allow ptrace in this agent's own seccomp profile (in Kubernetes seccompProfile: "
         "RuntimeDefault does)";
}

std::string reach_remedy() {
  return reach_remedy(own_privileges());
}
std::string ptrace_remedy() {
  return ptrace_remedy(own_privileges());
}

}  // namespace time_chaos::targets
