// Whole small files (those of /proc, mostly) as strings.
#pragma once

#include <string>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"

namespace time_chaos {

// open(2) with O_CLOEXEC; the error names the path.
Result<ScopedFd> open_file(const std::string& path, int flags);

// The whole file. Files of /proc have no size: this reads until end of file, at most `limit` bytes.
Result<std::string> read_file(const std::string& path, size_t limit = size_t{64} << 20);

}  // namespace time_chaos
