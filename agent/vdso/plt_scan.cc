#include "agent/vdso/plt_scan.h"

#include <elf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstring>
#include <set>
#include <thread>

#include "agent/base/files.h"
#include "agent/elf/imports.h"
#include "agent/targets/mappings.h"
#include "agent/targets/proc_text.h"
#include "agent/vdso/plan.h"

namespace time_chaos::vdso {
namespace {

using elf::Import;
using payload::Imported;

constexpr int kMostReads = 8;
constexpr std::chrono::milliseconds kUnloading(5);

struct Name {
  std::string_view symbol;
  Imported function;
};
constexpr Name kNames[] = {{"clock_gettime", Imported::kClockGettime},
                           {"__clock_gettime", Imported::kClockGettime},
                           {"gettimeofday", Imported::kGettimeofday},
                           {"__gettimeofday", Imported::kGettimeofday},
                           {"time", Imported::kTime},
                           {"syscall", Imported::kSyscall}};

std::vector<std::string_view> symbols() {
  std::vector<std::string_view> all;
  for (const Name& name : kNames) all.push_back(name.symbol);
  return all;
}

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

bool named(const std::string& path, const std::string& wanted) {
  if (path == wanted) return true;
  const std::string file = base_name(path);
  return file == wanted || file.rfind(wanted + ".", 0) == 0;
}

std::string program_path(pid_t pid) {
  char path[PATH_MAX];
  const ssize_t size = ::readlink(fmt::format("/proc/{}/exe", pid).c_str(), path, sizeof path);
  return size < 0 ? "" : std::string(path, static_cast<size_t>(size));
}

Result<elf::ProgramHeaders> program_headers(pid_t pid) {
  TC_TRY(const std::string text, read_file(fmt::format("/proc/{}/auxv", pid), 4096));
  elf::ProgramHeaders headers;
  for (size_t at = 0; at + sizeof(Elf64_auxv_t) <= text.size(); at += sizeof(Elf64_auxv_t)) {
    Elf64_auxv_t entry;
    std::memcpy(&entry, text.data() + at, sizeof entry);
    if (entry.a_type == AT_PHDR) headers.address = entry.a_un.a_val;
    if (entry.a_type == AT_PHNUM) headers.count = entry.a_un.a_val;
  }
  return headers;
}

class Scanner {
 public:
  Scanner(pid_t pid, const tracee::Memory& memory, const std::vector<std::string>& wanted,
          targets::Mappings mappings)
      : pid_(pid),
        memory_(memory),
        read_(reader_of(memory)),
        wanted_(wanted),
        mappings_(std::move(mappings)) {}

  Result<SlotScan> run() {
    TC_TRY(scan_.map, read_modules(pid_, memory_));
    TC_CHECK(find_library());
    find_vdso();
    TC_CHECK(check_wanted());
    for (const elf::Module& module : scan_.map.modules) {
      if (!is_wanted(module)) continue;
      const size_t before = scan_.slots.size();
      TC_CHECK(add_slots(module));
      if (scan_.slots.size() != before) {
        scan_.modules.push_back(module_name(module));
      }
    }
    return std::move(scan_);
  }

 private:
  [[nodiscard]] bool is_wanted(const elf::Module& module) const {
    return wanted_.empty() || std::any_of(wanted_.begin(), wanted_.end(), [&](const auto& name) {
             return named(module.path, name);
           });
  }

  Status check_wanted() const {
    for (const std::string& name : wanted_) {
      if (is_loaded(scan_.map, name)) continue;
      return fail(Exit::kNoTarget, fmt::format("no module {} is loaded in it", name),
                  "see its maps for those that are, or leave out --module for all");
    }
    return {};
  }

  // The first definition in the loader's order, as the loader itself looks for it.
  Result<std::optional<elf::Export>> lookup(std::string_view name, const elf::Module** by) const {
    for (const elf::Module& module : scan_.map.modules) {
      // It is in the list, but no symbol is looked up in it.
      const targets::Mapping* mapping = mappings_.at(module.dynamic);
      if (mapping != nullptr && mapping->path == "[vdso]") continue;
      const auto tables = elf::read_tables(read_, module);
      if (!tables) continue;
      auto found = elf::find_export(read_, module, *tables, name);
      if (!found || !*found || !(*found)->function) continue;
      *by = &module;
      return found;
    }
    return std::optional<elf::Export>();
  }

  Status find_library() {
    const elf::Module* library = nullptr;
    TC_TRY(const auto start, lookup("__libc_start_main", &library));
    if (!start) {
      return fail(Exit::kUnsupported, "no C library that is known is loaded in it",
                  "use --engine-vdso detour");
    }
    library_ = *library;
    TC_TRY(const auto tables, elf::read_tables(read_, library_));
    TC_TRY(const auto clock_gettime, elf::find_export(read_, library_, tables, "clock_gettime"));
    TC_TRY(const auto syscall, elf::find_export(read_, library_, tables, "syscall"));
    if (!clock_gettime || clock_gettime->indirect || !syscall || syscall->indirect) {
      return fail(Exit::kUnsupported,
                  fmt::format("its C library {} is not one that is known",
                              targets::printable(library_.path)),
                  "use --engine-vdso detour");
    }
    scan_.library = {clock_gettime->address, syscall->address};
    for (const Name& name : kNames) {
      const elf::Module* by = nullptr;
      TC_TRY(const auto found, lookup(name.symbol, &by));
      if (found && *by == library_) answered_.insert(name.symbol);
    }
    return {};
  }

  void find_vdso() {
    const auto vdso = read_vdso(mappings_, memory_);
    if (!vdso) return;
    for (const auto& [symbol, imported] :
         {std::pair{payload::Function::kClockGettime, Imported::kClockGettime},
          std::pair{payload::Function::kGettimeofday, Imported::kGettimeofday},
          std::pair{payload::Function::kTime, Imported::kTime}}) {
      const auto found = vdso->image.function(payload::function_symbol(symbol));
      if (found) vdso_[static_cast<size_t>(imported)] = vdso->start + found->offset;
    }
  }

  [[nodiscard]] std::optional<Imported> answered_by_vdso(uint64_t value) const {
    for (size_t i = 0; i < std::size(vdso_); i++) {
      if (vdso_[i] != 0 && vdso_[i] == value) return static_cast<Imported>(i);
    }
    return std::nullopt;
  }

  [[nodiscard]] bool same_file(uint64_t address, uint64_t other) const {
    const targets::Mapping* a = mappings_.at(address);
    const targets::Mapping* b = mappings_.at(other);
    return a != nullptr && b != nullptr && a->inode != 0 && a->inode == b->inode &&
           a->device == b->device;
  }

  [[nodiscard]] std::optional<Imported> function_of(const Import& import, uint64_t value,
                                                    const elf::Module& module) const {
    const auto by_vdso = answered_by_vdso(value);
    if (import.kind == Import::Kind::kResolved) return by_vdso;
    const auto name = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const Name& n) { return n.symbol == import.name; });
    if (name == std::end(kNames)) return std::nullopt;
    if (by_vdso && *by_vdso == name->function) return by_vdso;
    if (same_file(value, scan_.library.clock_gettime)) return name->function;
    // Not bound yet: it leads back into the module's own table of jumps.
    const bool unbound = import.kind == Import::Kind::kCall && same_file(value, module.dynamic);
    return unbound && answered_.count(name->symbol) != 0 ? std::optional(name->function)
                                                         : std::nullopt;
  }

  Status add_slots(const elf::Module& module) {
    const auto tables = elf::read_tables(read_, module);
    if (!tables) return {};
    TC_TRY(const auto imports, elf::find_imports(read_, module, *tables, symbols()));
    for (const Import& import : imports) {
      const targets::Mapping* mapping = mappings_.at(import.slot);
      const bool ordinary = mapping != nullptr && mapping->perms[3] == 'p' &&
                            mapping->path != "[vdso]" && import.slot % sizeof(uint64_t) == 0;
      if (!ordinary || !seen_.insert(import.slot).second) continue;
      TC_TRY(const auto value, memory_.read_value<uint64_t>(import.slot));
      const auto function = function_of(import, value, module);
      if (!function) continue;
      const bool copied = import.kind == Import::Kind::kAddress;
      scan_.slots.push_back(
          {import.slot, value, static_cast<uint32_t>(*function), copied ? 1U : 0U});
    }
    return {};
  }

  pid_t pid_;
  const tracee::Memory& memory_;
  elf::ReadMemory read_;
  const std::vector<std::string>& wanted_;
  targets::Mappings mappings_;
  SlotScan scan_;
  elf::Module library_;
  std::set<std::string_view> answered_;  // by the C library
  std::set<uint64_t> seen_;
  uint64_t vdso_[payload::kImportedCount] = {};
};

// What could not be read may have been a library that went meanwhile: then it is not in the list
// any more.
template <typename Read>
auto read_again(Read&& read) {
  for (int reads = 1;; reads++) {
    auto result = read();
    if (result || result.error().kind() != Exit::kFailed || reads == kMostReads) return result;
    std::this_thread::sleep_for(kUnloading);
  }
}

}  // namespace

std::string module_name(const elf::Module& module) {
  return targets::printable(base_name(module.path));
}

elf::ReadMemory reader_of(const tracee::Memory& memory) {
  return
      [&memory](uint64_t address, std::span<uint8_t> into) { return memory.read(address, into); };
}

bool is_loaded(const elf::LinkMap& map, const std::string& name) {
  return std::any_of(map.modules.begin(), map.modules.end(),
                     [&](const elf::Module& module) { return named(module.path, name); });
}

Result<elf::LinkMap> read_modules(pid_t pid, const tracee::Memory& memory) {
  TC_TRY(const auto headers, program_headers(pid));
  TC_TRY(elf::LinkMap map,
         read_again([&] { return elf::read_link_map(reader_of(memory), headers); }));
  // The program has no name there.
  for (elf::Module& module : map.modules) {
    if (module.path.empty()) module.path = program_path(pid);
    if (!module.path.empty()) break;
  }
  return map;
}

Result<SlotScan> scan_slots(pid_t pid, const tracee::Memory& memory,
                            const std::vector<std::string>& modules) {
  return read_again([&]() -> Result<SlotScan> {
    TC_TRY(auto mappings, targets::Mappings::read(pid));
    return Scanner(pid, memory, modules, std::move(mappings)).run();
  });
}

}  // namespace time_chaos::vdso
