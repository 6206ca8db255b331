// PLT mode, looking: which GOT slots of a target lead to its C library's clock functions. Nothing
// is touched.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/link_map.h"
#include "agent/payload/plt.h"
#include "agent/tracee/memory.h"

namespace time_chaos::vdso {

struct SlotScan {
  elf::LinkMap map;
  std::vector<payload::SlotRecord> slots;  // `original`: what stands in them now
  std::vector<std::string> modules;        // that have such slots, by their files' names
  payload::LibraryFunctions library;
};

// Its file's name, for people.
std::string module_name(const elf::Module& module);

elf::ReadMemory reader_of(const tracee::Memory& memory);

// `name`: a file's name or path.
bool is_loaded(const elf::LinkMap& map, const std::string& name);

// The loader's list of a process as it is now.
Result<elf::LinkMap> read_modules(pid_t pid, const tracee::Memory& memory);

// `modules`: file names ("libfoo.so" is also libfoo.so.1) or paths; empty: all. A slot that another
// library than the C library answers is left out. kUnsupported where the program is linked
// statically; kNoTarget, naming it, for a module that is not loaded.
Result<SlotScan> scan_slots(pid_t pid, const tracee::Memory& memory,
                            const std::vector<std::string>& modules);

}  // namespace time_chaos::vdso
