#include "agent/syscalls/privileges.h"

#include <cap-ng.h>
#include <linux/capability.h>

#include <vector>

namespace time_chaos::syscalls {

Status drop_privileges(StillNeeded still) {
  std::vector<unsigned> needed = {CAP_SYS_PTRACE, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH,
                                  CAP_KILL,       CAP_BPF,          CAP_CHECKPOINT_RESTORE,
                                  CAP_SYS_NICE};
  if (still.process_events) needed.push_back(CAP_NET_ADMIN);
  ::capng_setpid(0);
  if (::capng_get_caps_process() != 0) return fail_errno("read our own capabilities");
  const auto have = [](unsigned capability) {
    return ::capng_have_capability(CAPNG_PERMITTED, capability) != 0;
  };
  // Who was not given these, as in a container, has them by CAP_SYS_ADMIN alone: the maps of the
  // programs, and the clock page, which the target may only read, still have to be written to.
  const bool stands_for_others = !have(CAP_BPF) || !have(CAP_CHECKPOINT_RESTORE);
  if (still.seccomp || stands_for_others) needed.push_back(CAP_SYS_ADMIN);
  std::vector<unsigned> kept;
  for (const unsigned capability : needed) {
    if (have(capability)) kept.push_back(capability);
  }
  ::capng_clear(CAPNG_SELECT_CAPS);
  for (const unsigned capability : kept) {
    const auto sets = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED);
    if (::capng_update(CAPNG_ADD, sets, capability) != 0) {
      return fail(Exit::kFailed, "choose the capabilities to keep");
    }
  }
  if (::capng_apply(CAPNG_SELECT_CAPS) != 0) return fail_errno("drop capabilities");
  return {};
}

}  // namespace time_chaos::syscalls
