// The structures are those of elf(5) and of <link.h>, which all C libraries share.
#include "agent/elf/link_map.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "agent/elf/peek.h"

namespace time_chaos::elf {
namespace {

constexpr uint64_t kMostHeaders = 64;
constexpr uint64_t kMostEntries = 512;  // of a dynamic section
constexpr size_t kMostModules = 4096;
constexpr size_t kMostNamespaces = 16;  // dlmopen(3)
constexpr size_t kMostPath = 4096;

// struct r_debug and, from version 2 on, struct r_debug_extended.
struct Debug {
  int32_t version;
  uint64_t map;
  uint64_t breakpoint;
  int32_t state;  // 0: RT_CONSISTENT
  uint64_t loader;
};
static_assert(sizeof(Debug) == 40);
constexpr int kExtended = 2;

// The public beginning of struct link_map.
struct Entry {
  uint64_t base;
  uint64_t name;
  uint64_t dynamic;
  uint64_t next;
  uint64_t previous;
};

tl::unexpected<Error> is_static() {
  return fail(Exit::kUnsupported,
              "it is linked statically, and has no slots for functions, or was started through its "
              "loader, and does not say where they are",
              "use --engine-vdso detour");
}

// Where r_debug is.
Result<uint64_t> find_debug(const ReadMemory& read, const ProgramHeaders& program) {
  if (program.count == 0 || program.count > kMostHeaders) return is_static();
  uint64_t bias = 0;
  bool interpreted = false;
  std::optional<Elf64_Phdr> dynamic;
  for (uint64_t i = 0; i < program.count; i++) {
    TC_TRY(const auto header, peek<Elf64_Phdr>(read, program.address + i * sizeof(Elf64_Phdr)));
    if (header.p_type == PT_PHDR) bias = program.address - header.p_vaddr;
    if (header.p_type == PT_INTERP) interpreted = true;
    if (header.p_type == PT_DYNAMIC) dynamic = header;
  }
  if (!interpreted || !dynamic) return is_static();
  const uint64_t count = std::min<uint64_t>(dynamic->p_memsz / sizeof(Elf64_Dyn), kMostEntries);
  for (uint64_t i = 0; i < count; i++) {
    TC_TRY(const auto entry,
           peek<Elf64_Dyn>(read, bias + dynamic->p_vaddr + i * sizeof(Elf64_Dyn)));
    if (entry.d_tag == DT_NULL) break;
    if (entry.d_tag == DT_DEBUG && entry.d_un.d_ptr != 0) return entry.d_un.d_ptr;
  }
  return fail(Exit::kFailed, "its loader has not loaded its libraries yet", "try again");
}

Result<std::string> read_path(const ReadMemory& read, uint64_t address) {
  std::string path;
  while (path.size() < kMostPath) {
    // Not beyond the end of a page, behind which nothing may be.
    const uint64_t piece = std::min<uint64_t>(64, 4096 - address % 4096);
    std::string bytes(piece, '\0');
    TC_CHECK(read(address, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}));
    const size_t end = bytes.find('\0');
    path.append(bytes, 0, end);
    if (end != std::string::npos) return path;
    address += piece;
  }
  return fail(Exit::kFailed, "the name of a library of it has no end");
}

Status add_modules(const ReadMemory& read, uint64_t first, LinkMap& map) {
  for (uint64_t at = first; at != 0;) {
    if (map.modules.size() == kMostModules) {
      return fail(Exit::kFailed, "the list of its libraries has no end");
    }
    TC_TRY(const auto entry, peek<Entry>(read, at));
    TC_TRY(std::string path, read_path(read, entry.name));
    map.modules.push_back({entry.base, entry.dynamic, std::move(path)});
    at = entry.next;
  }
  return {};
}

}  // namespace

Result<LinkMap> read_link_map(const ReadMemory& read, const ProgramHeaders& program) {
  TC_TRY(uint64_t at, find_debug(read, program));
  LinkMap map;
  map.consistent = true;
  for (size_t i = 0; at != 0 && i < kMostNamespaces; i++) {
    TC_TRY(const auto debug, peek<Debug>(read, at));
    if (debug.version == 0 || debug.map == 0) {
      if (i != 0) break;
      return fail(Exit::kFailed, "its loader has not loaded its libraries yet", "try again");
    }
    if (debug.state != 0) map.consistent = false;
    TC_CHECK(add_modules(read, debug.map, map));
    if (debug.version < kExtended) break;
    TC_TRY(at, peek<uint64_t>(read, at + sizeof(Debug)));
  }
  return map;
}

}  // namespace time_chaos::elf
