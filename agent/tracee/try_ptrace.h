// May this process trace at all? Tried on a child of our own, because seccomp profiles, Yama and
// security modules do not say so in any file.
#pragma once

#include "agent/base/error.h"

namespace time_chaos::tracee {

Status try_ptrace();

}  // namespace time_chaos::tracee
