#include "agent/base/files.h"

#include <fcntl.h>

#include <cerrno>

namespace time_chaos {

Result<ScopedFd> open_file(const std::string& path, int flags) {
  const int fd =
      ::open(path.c_str(), flags | O_CLOEXEC);  // NOLINT(cppcoreguidelines-pro-type-vararg)
  if (fd < 0) return fail_errno("open " + path);
  return ScopedFd(fd);
}

Result<std::string> read_file(const std::string& path, size_t limit) {
  TC_TRY(const ScopedFd file, open_file(path, O_RDONLY));
  std::string text;
  size_t used = 0;
  for (;;) {
    if (text.size() - used < 4096) text.resize(used + 16384);
    const ssize_t got = ::read(file.get(), text.data() + used, text.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read " + path);
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used > limit) return fail(Exit::kFailed, path + " is larger than expected");
  }
  text.resize(used);
  return text;
}

}  // namespace time_chaos
