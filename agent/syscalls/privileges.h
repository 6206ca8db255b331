// What an agent that stays gives up: the capabilities that only loading BPF programs needed.
#pragma once

#include "agent/base/error.h"

namespace time_chaos::syscalls {

// Keeps what recovery needs: to trace, to open the files of other users' processes, to map the
// clock page, to change BPF maps, and not to be preempted in that. An agent without capabilities
// has none to give up.
struct StillNeeded {
  bool seccomp = false;         // CAP_SYS_ADMIN: to read a target's filters, and to suspend them
  bool process_events = false;  // CAP_NET_ADMIN: to tell the kernel that nobody listens any more
};
Status drop_privileges(StillNeeded still);

}  // namespace time_chaos::syscalls
