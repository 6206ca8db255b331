#include "agent/vdso/loader.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "agent/elf/imports.h"
#include "agent/targets/mappings.h"
#include "agent/targets/process.h"
#include "agent/vdso/plt_scan.h"

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kNow = 2;  // RTLD_NOW
// __RTLD_DLOPEN: what glibc's dlopen adds when it calls __libc_dlopen_mode (elf/dl-libc.c).
constexpr uint64_t kByDlopen = 0x80000000;

constexpr const char* kRemedy = "shift it with --offset and its like";

struct Symbol {
  const elf::Module* module = nullptr;
  uint64_t address = 0;
};

class Symbols {
 public:
  Symbols(const elf::ReadMemory& read, const elf::LinkMap& map) : read_(read), map_(map) {}

  [[nodiscard]] std::optional<Symbol> in(const elf::Module& module, std::string_view name) const {
    const auto tables = elf::read_tables(read_, module);
    if (!tables) return std::nullopt;
    const auto found = elf::find_export(read_, module, *tables, name);
    if (!found || !*found || (*found)->indirect) return std::nullopt;
    return Symbol{&module, (*found)->address};
  }
  // The first in the loader's order.
  [[nodiscard]] std::optional<Symbol> first(std::string_view name) const {
    for (const elf::Module& module : map_.modules) {
      if (auto found = in(module, name)) return found;
    }
    return std::nullopt;
  }

 private:
  const elf::ReadMemory& read_;
  const elf::LinkMap& map_;
};

// The places of the parts, by the addresses of their dynamic sections.
struct Parts {
  uint64_t library = 0;
  uint64_t loader = 0;     // 0: the C library itself
  uint64_t allocator = 0;  // 0: the C library's
  bool allocator_in_program = false;
};

struct Functions {
  Loader loader;
  Parts parts;
};

// Before 2.34 dlopen is in a library of its own, which need not be loaded.
bool take_glibc(const Symbols& symbols, const elf::LinkMap& map, const elf::Module& library,
                Loader& loader) {
  std::optional<Symbol> load = symbols.in(library, "dlopen");
  std::optional<Symbol> unload = symbols.in(library, "dlclose");
  std::optional<Symbol> why = symbols.in(library, "dlerror");
  loader.mode = kNow;
  const auto apart = std::find_if(map.modules.begin(), map.modules.end(), [](const auto& module) {
    return module.path.ends_with("/libdl.so.2");
  });
  if (!load && apart != map.modules.end()) {
    load = symbols.in(*apart, "dlopen");
    unload = symbols.in(*apart, "dlclose");
    why = symbols.in(*apart, "dlerror");
  }
  if (!load) {
    load = symbols.in(library, "__libc_dlopen_mode");
    unload = symbols.in(library, "__libc_dlclose");
    why = std::nullopt;
    loader.mode = kNow | kByDlopen;
  }
  if (!load || !unload) return false;
  loader.load = load->address;
  loader.unload = unload->address;
  loader.why = why ? why->address : 0;
  return true;
}

bool take_musl(const Symbols& symbols, const elf::Module& library, Loader& loader) {
  const auto load = symbols.in(library, "dlopen");
  const auto unload = symbols.in(library, "dlclose");
  const auto why = symbols.in(library, "dlerror");
  if (!load || !unload || !symbols.in(library, "__dls2b")) return false;
  loader.load = load->address;
  loader.unload = unload->address;
  loader.why = why ? why->address : 0;
  loader.mode = kNow;
  loader.never_unloads = true;
  return true;
}

Result<Functions> find_functions(const elf::ReadMemory& read, const elf::LinkMap& map) {
  const auto unknown = [] {
    return fail(Exit::kUnsupported, "no C library that is known is loaded in it: it has no dlopen",
                kRemedy);
  };
  const Symbols symbols(read, map);
  const auto start = symbols.first("__libc_start_main");
  if (!start) return unknown();
  const elf::Module& library = *start->module;
  Functions found;
  const bool glibc = symbols.in(library, "gnu_get_libc_version").has_value();
  const auto errno_location = symbols.in(library, "__errno_location");
  if (!errno_location) return unknown();
  if (glibc) {
    const auto loader = symbols.first("_rtld_global");
    if (!loader) return unknown();
    found.parts.loader = loader->module->dynamic;
    found.loader.apart = loader->module->dynamic != library.dynamic;
  }
  const bool taken = glibc ? take_glibc(symbols, map, library, found.loader)
                           : take_musl(symbols, library, found.loader);
  if (!taken) return unknown();
  found.loader.errno_location = errno_location->address;
  found.parts.library = library.dynamic;
  const auto allocator = symbols.first("malloc");
  if (allocator && allocator->module->dynamic != library.dynamic) {
    found.parts.allocator = allocator->module->dynamic;
    found.loader.foreign_allocator = allocator->module == &map.modules.front();
  }
  return found;
}

// All of the file of which a part is mapped at `address`.
Ranges file_at(const targets::Mappings& mappings, uint64_t address) {
  Ranges ranges;
  const targets::Mapping* part = mappings.at(address);
  if (part == nullptr || part->inode == 0) return ranges;
  for (const targets::Mapping& mapping : mappings.all()) {
    if (mapping.inode != part->inode || mapping.device != part->device) continue;
    if (mapping.perms[2] == 'x') ranges.push_back({mapping.start, mapping.size()});
  }
  return ranges;
}

// The library is a file in memory, which the loader opens by its number below /proc/self/fd.
Status check_proc(pid_t pid) {
  TC_TRY(const auto status, targets::read_status(pid));
  const pid_t inside = status.ns_pids.empty() ? pid : status.ns_pids.back();
  const std::string proc = fmt::format("/proc/{}/root/proc", pid);
  struct statfs about {};
  const bool mounted = ::statfs(proc.c_str(), &about) == 0 && about.f_type == PROC_SUPER_MAGIC;
  if (mounted && ::access(fmt::format("{}/{}/fd", proc, inside).c_str(), F_OK) == 0) return {};
  return fail(Exit::kUnsupported, "it cannot open its own files: it sees no /proc of its own",
              "mount /proc where it runs, or shift it with --offset and its like");
}

}  // namespace

Result<Loader> find_loader(const elf::ReadMemory& read, const elf::LinkMap& map) {
  TC_TRY(Functions found, find_functions(read, map));
  return std::move(found.loader);
}

Result<Loader> find_loader(pid_t pid, const tracee::Memory& memory) {
  auto map = read_modules(pid, memory);
  if (!map && map.error().kind() == Exit::kUnsupported) {
    return fail(Exit::kUnsupported, "it is linked statically: it has no loader to load a library",
                kRemedy);
  }
  if (!map) return fail(map.error());
  const elf::ReadMemory read = reader_of(memory);
  TC_TRY(Functions found, find_functions(read, *map));
  TC_TRY(const auto mappings, targets::Mappings::read(pid));
  Loader& loader = found.loader;
  loader.library = file_at(mappings, found.parts.library);
  loader.loader = loader.apart ? file_at(mappings, found.parts.loader) : Ranges();
  if (found.parts.allocator != 0 && !loader.foreign_allocator) {
    loader.allocator = file_at(mappings, found.parts.allocator);
    loader.foreign_allocator = loader.allocator.empty();
  }
  const bool seen = !loader.library.empty() && (!loader.apart || !loader.loader.empty());
  if (!seen) {
    return fail(Exit::kUnsupported, "its C library cannot be found in its memory", kRemedy);
  }
  TC_CHECK(check_proc(pid));
  return std::move(loader);
}

}  // namespace time_chaos::vdso
