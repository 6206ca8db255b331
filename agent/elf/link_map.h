// The shared objects of a running program, as its loader lists them (struct r_debug and struct
// link_map, link.h), read from another process. Nothing in it is trusted: whatever the bytes, there
// is an answer, and it takes bounded work.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"

namespace time_chaos::elf {

// All of it or an error.
using ReadMemory = std::function<Status(uint64_t address, std::span<uint8_t> into)>;

// Where the kernel has put a program (its auxiliary vector: AT_PHDR, AT_PHNUM).
struct ProgramHeaders {
  uint64_t address = 0;
  uint64_t count = 0;
};

struct Module {
  uint64_t base = 0;     // what is added to its own addresses
  uint64_t dynamic = 0;  // where its dynamic section is
  std::string path;      // empty: the program itself
  bool operator==(const Module&) const = default;
};

struct LinkMap {
  std::vector<Module> modules;  // the program first
  bool consistent = false;      // the loader is not just changing it
};

// kUnsupported for a program without a loader (linked statically), kFailed for one whose loader has
// not run yet.
Result<LinkMap> read_link_map(const ReadMemory& read, const ProgramHeaders& program);

}  // namespace time_chaos::elf
