// The loader's list and the modules behind it, in memory of which every word is a stranger's: there
// is an answer, and it takes bounded work.
#include <elf.h>

#include <cstdint>
#include <cstring>

#include "agent/elf/imports.h"
#include "agent/elf/link_map.h"
#include "tests/fuzz/seeds.h"

using namespace time_chaos;

// The input stands at kBase; nothing is anywhere else.
constexpr uint64_t kBase = 0x10000;

// One module that calls time().
std::vector<std::vector<uint8_t>> fuzz_seeds() {
  std::vector<uint8_t> bytes(0xa03);  // three program headers
  const auto put = [&](size_t at, auto value) { std::memcpy(&bytes[at], &value, sizeof value); };
  const auto header = [&](size_t index, uint32_t type, uint64_t address, uint64_t size) {
    put(index * sizeof(Elf64_Phdr), Elf64_Phdr{type, PF_R, 0, address, 0, size, size, 8});
  };
  header(0, PT_PHDR, 0, 168);
  header(1, PT_INTERP, 0x180, 8);
  header(2, PT_DYNAMIC, 0x200, 0x200);
  size_t at = 0x200;
  const auto entry = [&](int64_t tag, uint64_t value) {
    put(at, tag);
    put(at + 8, value);
    at += 16;
  };
  entry(DT_DEBUG, kBase + 0x400);
  entry(DT_RELA, kBase + 0x600);
  entry(DT_RELASZ, 48);
  entry(DT_SYMTAB, kBase + 0x700);
  entry(DT_STRTAB, kBase + 0x800);
  entry(DT_STRSZ, 32);
  entry(DT_GNU_HASH, kBase + 0x900);
  put(0x400, int32_t{1});
  put(0x408, kBase + 0x500);
  put(0x500, kBase);
  put(0x508, kBase + 0x5f0);
  put(0x510, kBase + 0x200);
  put(0x600, Elf64_Rela{0x100, ELF64_R_INFO(1, R_X86_64_GLOB_DAT), 0});
  put(0x618, Elf64_Rela{0x108, ELF64_R_INFO(0, R_X86_64_IRELATIVE), 0});
  put(0x718, Elf64_Sym{1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 0, 0, 0});
  std::memcpy(&bytes[0x801], "time", 4);
  put(0x900, uint32_t{1});
  put(0x904, uint32_t{1});
  put(0x908, uint32_t{1});
  put(0x918, uint32_t{1});
  put(0x91c, uint32_t{1});
  return {bytes};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const elf::ReadMemory read = [&](uint64_t address, std::span<uint8_t> into) -> Status {
    if (address < kBase || address - kBase > size || into.size() > size - (address - kBase)) {
      return fail(Exit::kFailed, "nothing is there");
    }
    std::memcpy(into.data(), data + (address - kBase), into.size());
    return {};
  };
  const auto map = elf::read_link_map(read, {kBase, size % 16});
  std::vector<elf::Module> modules{{kBase, kBase, ""}};
  if (map) modules = map->modules;
  for (size_t i = 0; i < modules.size() && i < 4; i++) {
    const auto tables = elf::read_tables(read, modules[i]);
    if (!tables) continue;
    (void)elf::find_imports(read, modules[i], *tables, {"time", "syscall"});
    (void)elf::find_export(read, modules[i], *tables, "clock_gettime");
  }
  return 0;
}
