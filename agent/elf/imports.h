// What a loaded module takes from others, and what it offers: the GOT slots that its loader fills
// with the addresses of functions, and its symbols by name. Read from another process, bounded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/elf/link_map.h"

namespace time_chaos::elf {

// The parts of a dynamic section that lead to relocations and symbols.
struct ModuleTables {
  struct Table {
    uint64_t address = 0;
    uint64_t size = 0;
  };
  Table relocations;  // DT_RELA
  Table plt;          // DT_JMPREL
  Table strings;
  uint64_t symbols = 0;
  uint64_t hash = 0;      // 0: none
  uint64_t gnu_hash = 0;  // 0: none
};
Result<ModuleTables> read_tables(const ReadMemory& read, const Module& module);

struct Import {
  enum class Kind {
    kCall,      // R_X86_64_JUMP_SLOT: jumped through, and bound when it is first used, perhaps
    kAddress,   // R_X86_64_GLOB_DAT: the program can take it from there, and keep it
    kResolved,  // R_X86_64_IRELATIVE: has no name; the module's own choice among its functions
  };
  uint64_t slot = 0;
  Kind kind = Kind::kCall;
  std::string name;
};
// Those with one of these names, and all that have none.
Result<std::vector<Import>> find_imports(const ReadMemory& read, const Module& module,
                                         const ModuleTables& tables,
                                         const std::vector<std::string_view>& names);

struct Export {
  uint64_t address = 0;
  bool indirect = false;  // STT_GNU_IFUNC: at the address is a function that chooses one
  bool function = false;
};
// What the module defines under that name.
Result<std::optional<Export>> find_export(const ReadMemory& read, const Module& module,
                                          const ModuleTables& tables, std::string_view name);

}  // namespace time_chaos::elf
