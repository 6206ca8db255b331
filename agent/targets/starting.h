// Containers that are still being made: their first process runs the container runtime's own code,
// which must be left alone until it has executed the container's program.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace time_chaos::targets {

struct ProgramFacts {
  std::string comm;
  std::string executable;  // as /proc/PID/exe says; empty: not known
  std::string arguments;   // /proc/PID/cmdline, with its zero bytes
};

// runc's stages ("runc:[2:INIT]", whatever it calls itself before: it executes a copy of itself
// from a memfd, /proc/self/exe or a descriptor), crun's and youki's.
bool is_container_init(const ProgramFacts& facts);
bool is_container_init(pid_t pid);

}  // namespace time_chaos::targets
