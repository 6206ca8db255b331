// What an attach could leave behind in a process: taken before and after, and compared.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::live {

enum class Maps {
  kExact,    // the same mappings (programs that allocate nothing meanwhile)
  kNoOurs,   // a runtime may map what it likes, but shared anonymous pages and new small
             // executable anonymous mappings would be ours
  kIgnored,  // recover said that it kept its code
};

struct Snapshot {
  static Result<Snapshot> take(pid_t pid);

  std::string vdso;                    // its bytes
  uint64_t vdso_private_kib = 0;       // "Anonymous" of [vdso] in smaps: a private copy exists
  std::vector<std::string> maps;       // lines of maps; [heap] and [stack] by name only
  std::map<int, std::string> fds;      // number -> link
  std::map<pid_t, std::string> masks;  // thread -> SigBlk
  pid_t tracer = 0;                    // TracerPid
};

// One line a difference; empty when `after` is as `before`. Threads that are in only one of the two
// are not compared.
std::string differences(const Snapshot& before, const Snapshot& after, Maps maps = Maps::kExact);

// The differences that `pid` has from `before` and keeps: a thread inside a signal handler has
// another mask for a moment, so this looks several times.
Result<std::string> lasting_differences(const Snapshot& before, pid_t pid,
                                        Maps maps = Maps::kExact);

}  // namespace time_chaos::live
