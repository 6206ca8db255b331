#include "agent/targets/shared_memory.h"

#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/targets/process.h"

namespace time_chaos::targets {

std::optional<pid_t> find_memory_sharer(pid_t pid) {
  for (const pid_t other : list_processes()) {
    if (other != pid && ::syscall(SYS_kcmp, pid, other, KCMP_VM, 0, 0) == 0) return other;
  }
  return std::nullopt;
}

}  // namespace time_chaos::targets
