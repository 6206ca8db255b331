#include "agent/targets/cgroup.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

namespace fs = std::filesystem;

// Where Linux distributions mount version 2: alone, or beside version 1.
constexpr const char* kMounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

std::optional<Cgroup> at(const std::string& directory) {
  struct statfs facts {};
  struct stat status {};
  if (::statfs(directory.c_str(), &facts) != 0 || ::stat(directory.c_str(), &status) != 0) {
    return std::nullopt;
  }
  const bool second = facts.f_type == CGROUP2_SUPER_MAGIC;
  if (!second && facts.f_type != CGROUP_SUPER_MAGIC) return std::nullopt;
  return Cgroup{directory, second ? status.st_ino : 0};
}

void add_processes(const fs::path& directory, std::vector<pid_t>& pids) {
  std::ifstream file(directory / "cgroup.procs");
  for (pid_t pid = 0; file >> pid;) {
    if (pid > 0) pids.push_back(pid);  // 0: of another pid namespace
  }
}

}  // namespace

Result<Cgroup> find_cgroup(const std::string& path) {
  std::string plain = path;
  while (plain.size() > 1 && plain.back() == '/') plain.pop_back();
  if (plain.starts_with('/')) {
    if (auto found = at(plain)) return *found;
    for (const char* mount : kMounts) {
      if (auto found = at(mount + plain)) return *found;
    }
  }
  return fail(Exit::kNoTarget, fmt::format("no control group {}", path),
              "give its directory below /sys/fs/cgroup");
}

std::vector<pid_t> processes_in(const Cgroup& cgroup) {
  std::vector<pid_t> pids;
  add_processes(cgroup.directory, pids);
  std::error_code error;  // one that is removed meanwhile has no processes
  for (fs::recursive_directory_iterator it(cgroup.directory, error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_directory(error)) add_processes(it->path(), pids);
  }
  std::erase_if(pids, [](pid_t pid) {
    const auto stat = read_stat(pid);
    return pid == ::getpid() || !stat || stat->state == 'Z' || stat->state == 'X';
  });
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

}  // namespace time_chaos::targets
