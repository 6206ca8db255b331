#include "agent/targets/namespaces.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "agent/targets/process.h"

namespace time_chaos::targets {

Result<uint64_t> namespace_inode(std::string_view process, std::string_view kind) {
  const std::string path = fmt::format("/proc/{}/ns/{}", process, kind);
  struct stat facts {};
  if (::stat(path.c_str(), &facts) == 0) return facts.st_ino;
  const int error = errno;
  if (error == ENOENT || error == ESRCH) {
    return fail(Exit::kNoTarget, fmt::format("no process {}", process));
  }
  return fail(Error::from_errno(error, "read " + path));
}

Result<uint64_t> pid_namespace_inode(pid_t pid) {
  return namespace_inode(std::to_string(pid), "pid");
}

}  // namespace time_chaos::targets
