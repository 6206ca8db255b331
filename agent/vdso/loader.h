// What of a target's C library is needed to load a library into it: found through the target's own
// list of libraries. Nothing is touched.
#pragma once

#include <sys/types.h>

#include "agent/base/error.h"
#include "agent/elf/link_map.h"
#include "agent/tracee/memory.h"
#include "agent/vdso/references.h"

namespace time_chaos::vdso {

struct Loader {
  uint64_t load = 0;    // dlopen, or what an older C library has in its place
  uint64_t unload = 0;  // dlclose
  uint64_t why = 0;     // dlerror; 0: there is none
  uint64_t errno_location = 0;
  uint64_t mode = 0;           // dlopen's second argument
  bool never_unloads = false;  // musl's dlclose does nothing
  bool apart = false;          // the loader is another file than the C library
  bool foreign_allocator =
      false;         // malloc is of the program itself: where its code is, nobody knows
  Ranges loader;     // the loader's file in memory
  Ranges allocator;  // that of a malloc that is neither the C library's nor the program's own
  Ranges library;    // the C library's
};

// Which functions of the C library these are, in the modules of a process. kUnsupported where there
// are none.
Result<Loader> find_loader(const elf::ReadMemory& read, const elf::LinkMap& map);

// Of a process. kUnsupported, with the reason, for a program that is linked statically, for an
// unknown C library, and where its /proc does not show it its own files.
Result<Loader> find_loader(pid_t pid, const tracee::Memory& memory);

}  // namespace time_chaos::vdso
