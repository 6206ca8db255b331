// Processes by name. A comm is at most 15 bytes (TASK_COMM_LEN is 16 with its zero byte), and users
// type the whole name of the program, so longer names are compared by what the kernel keeps.
#include <unistd.h>

#include "agent/targets/proc_text.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

constexpr size_t kCommBytes = 15;

}  // namespace

std::vector<pid_t> find_by_name(std::string_view name) {
  std::vector<pid_t> found;
  const std::string_view wanted = name.substr(0, kCommBytes);
  if (wanted.empty()) return found;
  for (const pid_t pid : list_processes()) {  // processes only: threads are not listed in /proc
    if (pid == ::getpid()) continue;
    const auto stat = read_stat(pid);  // a process that ends meanwhile is no match
    if (!stat || stat->state == 'Z' || stat->state == 'X') continue;
    // Workers of the kernel show names longer than 15 bytes.
    if (std::string_view(stat->name).substr(0, kCommBytes) == wanted) found.push_back(pid);
  }
  return found;
}

}  // namespace time_chaos::targets
