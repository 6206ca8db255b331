// What an agent that stays gives up: the capabilities that only loading BPF programs needed.
#pragma once

#include "agent/base/error.h"

namespace time_chaos::syscalls {

// Keeps what recovery needs: to trace, to open the files of other users' processes, to map the
// clock page, and to change BPF maps. `seccomp`: CAP_SYS_ADMIN as well, without which a target's
// filters can be neither read nor suspended. An agent without capabilities has none to give up.
Status drop_privileges(bool seccomp);

}  // namespace time_chaos::syscalls
