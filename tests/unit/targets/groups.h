// Control groups that a test makes for itself, named as runtimes name those of containers.
#pragma once

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::test {

// Directories below the first mount that has control groups; removed with the test.
class Groups {
 public:
  Groups() {
    for (const char* path : {"/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"}) {
      struct statfs facts {};
      if (::statfs(path, &facts) != 0) continue;
      if (facts.f_type != CGROUP2_SUPER_MAGIC && facts.f_type != CGROUP_SUPER_MAGIC) continue;
      const std::string top = fmt::format("{}/tc-containers-{}", path, ::getpid());
      if (::mkdir(top.c_str(), 0700) != 0) continue;
      made_.push_back(top);
      return;
    }
  }
  Groups(const Groups&) = delete;
  Groups& operator=(const Groups&) = delete;
  Groups(Groups&&) = delete;
  Groups& operator=(Groups&&) = delete;
  ~Groups() {
    while (!made_.empty()) remove_last();
  }
  [[nodiscard]] bool made() const { return !made_.empty(); }
  std::string make(const std::string& name) {
    made_.push_back(made_.front() + "/" + name);
    ::mkdir(made_.back().c_str(), 0700);
    return made_.back();
  }
  void remove_last() {
    for (int i = 0; i < 100 && ::rmdir(made_.back().c_str()) != 0; ++i) ::usleep(10000);
    made_.pop_back();
  }
  static Status add(const std::string& group, pid_t pid) {
    std::ofstream file(group + "/cgroup.procs");
    file << pid << std::flush;
    if (file) return {};
    return fail(Exit::kFailed, fmt::format("cannot move {} to {}", pid, group));
  }

 private:
  std::vector<std::string> made_;
};

}  // namespace time_chaos::test
