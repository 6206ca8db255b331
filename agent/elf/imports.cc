#include "agent/elf/imports.h"

#include <elf.h>

#include <algorithm>

#include "agent/elf/elf_bytes.h"
#include "agent/elf/peek.h"

namespace time_chaos::elf {
namespace {

constexpr uint64_t kMostEntries = 512;                // of a dynamic section
constexpr uint64_t kMostTable = uint64_t{256} << 20;  // bytes of relocations, symbols or names
constexpr uint64_t kPiece = uint64_t{1} << 20;        // read at once
constexpr uint64_t kMostChain = 1 << 20;

tl::unexpected<Error> strange() {
  return fail(Exit::kFailed, "a library of it is not well-formed");
}

// Some loaders (glibc) write absolute addresses into the dynamic section, others leave it alone.
uint64_t absolute(const Module& module, uint64_t address) {
  return address < module.base ? module.base + address : address;
}

Result<std::vector<uint8_t>> read_bytes(const ReadMemory& read, uint64_t address, uint64_t size) {
  // Piece by piece: what is not there costs no more than a piece.
  std::vector<uint8_t> bytes;
  while (bytes.size() < size) {
    const uint64_t done = bytes.size();
    bytes.resize(done + std::min(kPiece, size - done));
    TC_CHECK(read(address + done, std::span(bytes).subspan(done)));
  }
  return bytes;
}

struct Relocations {
  std::vector<Elf64_Rela> interesting;
  uint64_t last_symbol = 0;
};

Status collect(const ReadMemory& read, const ModuleTables::Table& table, Relocations& into) {
  for (uint64_t done = 0; done < table.size;) {
    uint64_t size = std::min(kPiece, table.size - done);
    size -= size % sizeof(Elf64_Rela);
    if (size == 0) break;
    TC_TRY(const auto bytes, read_bytes(read, table.address + done, size));
    for (uint64_t at = 0; at < size; at += sizeof(Elf64_Rela)) {
      const auto entry = *read_at<Elf64_Rela>(bytes, at);
      const auto type = ELF64_R_TYPE(entry.r_info);
      if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_IRELATIVE) {
        continue;
      }
      into.interesting.push_back(entry);
      if (type != R_X86_64_IRELATIVE) {
        into.last_symbol = std::max<uint64_t>(into.last_symbol, ELF64_R_SYM(entry.r_info));
      }
    }
    done += size;
  }
  return {};
}

uint32_t gnu_hash_of(std::string_view name) {
  uint32_t hash = 5381;
  for (const char c : name) hash = hash * 33 + static_cast<uint8_t>(c);
  return hash;
}

uint32_t sysv_hash_of(std::string_view name) {
  uint32_t hash = 0;
  for (const char c : name) {
    hash = (hash << 4) + static_cast<uint8_t>(c);
    const uint32_t high = hash & 0xf0000000;
    hash = (hash ^ (high >> 24)) & ~high;
  }
  return hash;
}

// Symbols one by one.
class Lookup {
 public:
  Lookup(const ReadMemory& read, const Module& module, const ModuleTables& tables,
         std::string_view name)
      : read_(read), module_(module), tables_(tables), name_(name) {}

  Result<std::optional<Export>> run() const {
    if (tables_.gnu_hash != 0) return by_gnu_hash();
    if (tables_.hash != 0) return by_hash();
    return std::optional<Export>();
  }

 private:
  using Found = Result<std::optional<Export>>;

  Found by_gnu_hash() const {
    const uint64_t at = tables_.gnu_hash;
    TC_TRY(const auto buckets, peek<uint32_t>(read_, at));
    TC_TRY(const auto first, peek<uint32_t>(read_, at + 4));
    TC_TRY(const auto blooms, peek<uint32_t>(read_, at + 8));
    if (buckets == 0) return std::optional<Export>();
    const uint64_t bucket_table = at + 16 + uint64_t{blooms} * 8;
    const uint64_t chains = bucket_table + uint64_t{buckets} * 4;
    const uint32_t hash = gnu_hash_of(name_);
    TC_TRY(uint32_t index, peek<uint32_t>(read_, bucket_table + uint64_t{hash % buckets} * 4));
    if (index < first) return std::optional<Export>();
    for (uint64_t steps = 0; steps < kMostChain; steps++, index++) {
      TC_TRY(const auto value, peek<uint32_t>(read_, chains + uint64_t{index - first} * 4));
      if ((value | 1U) == (hash | 1U)) {
        TC_TRY(auto found, symbol(index));
        if (found) return found;
      }
      if ((value & 1U) != 0) return std::optional<Export>();
    }
    return strange();
  }

  Found by_hash() const {
    TC_TRY(const auto buckets, peek<uint32_t>(read_, tables_.hash));
    if (buckets == 0) return std::optional<Export>();
    const uint64_t bucket_table = tables_.hash + 8;
    const uint64_t chains = bucket_table + uint64_t{buckets} * 4;
    const uint64_t bucket = sysv_hash_of(name_) % buckets;
    TC_TRY(uint32_t index, peek<uint32_t>(read_, bucket_table + bucket * 4));
    for (uint64_t steps = 0; steps < kMostChain; steps++) {
      if (index == 0) return std::optional<Export>();
      TC_TRY(auto found, symbol(index));
      if (found) return found;
      TC_TRY(index, peek<uint32_t>(read_, chains + uint64_t{index} * 4));
    }
    return strange();
  }

  Found symbol(uint32_t index) const {
    TC_TRY(const auto entry,
           peek<Elf64_Sym>(read_, tables_.symbols + uint64_t{index} * sizeof(Elf64_Sym)));
    const auto type = ELF64_ST_TYPE(entry.st_info);
    const bool wanted = type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_OBJECT;
    if (!wanted || entry.st_shndx == SHN_UNDEF || entry.st_value == 0) {
      return std::optional<Export>();
    }
    if (!fits(entry.st_name, name_.size() + 1, tables_.strings.size)) {
      return std::optional<Export>();
    }
    TC_TRY(const auto bytes,
           read_bytes(read_, tables_.strings.address + entry.st_name, name_.size() + 1));
    const bool same = std::equal(name_.begin(), name_.end(), bytes.begin()) && bytes.back() == 0;
    if (!same) return std::optional<Export>();
    return std::optional(
        Export{module_.base + entry.st_value, type == STT_GNU_IFUNC, type != STT_OBJECT});
  }

  const ReadMemory& read_;
  const Module& module_;
  const ModuleTables& tables_;
  std::string_view name_;
};

}  // namespace

Result<ModuleTables> read_tables(const ReadMemory& read, const Module& module) {
  ModuleTables tables;
  bool with_addends = true;
  for (uint64_t i = 0; i < kMostEntries; i++) {
    TC_TRY(const auto entry, peek<Elf64_Dyn>(read, module.dynamic + i * sizeof(Elf64_Dyn)));
    const uint64_t value = entry.d_un.d_val;
    switch (entry.d_tag) {
      case DT_NULL:
        if (!with_addends || std::max({tables.relocations.size, tables.plt.size,
                                       tables.strings.size}) > kMostTable) {
          return strange();
        }
        return tables;
      case DT_RELA:
        tables.relocations.address = absolute(module, value);
        break;
      case DT_RELASZ:
        tables.relocations.size = value;
        break;
      case DT_JMPREL:
        tables.plt.address = absolute(module, value);
        break;
      case DT_PLTRELSZ:
        tables.plt.size = value;
        break;
      case DT_PLTREL:
        with_addends = value == DT_RELA;
        break;
      case DT_SYMTAB:
        tables.symbols = absolute(module, value);
        break;
      case DT_STRTAB:
        tables.strings.address = absolute(module, value);
        break;
      case DT_STRSZ:
        tables.strings.size = value;
        break;
      case DT_HASH:
        tables.hash = absolute(module, value);
        break;
      case DT_GNU_HASH:
        tables.gnu_hash = absolute(module, value);
        break;
      default:
        break;
    }
  }
  return strange();
}

Result<std::vector<Import>> find_imports(const ReadMemory& read, const Module& module,
                                         const ModuleTables& tables,
                                         const std::vector<std::string_view>& names) {
  Relocations all;
  TC_CHECK(collect(read, tables.relocations, all));
  TC_CHECK(collect(read, tables.plt, all));
  std::vector<Import> imports;
  if (all.interesting.empty()) return imports;
  const uint64_t symbols_size = (all.last_symbol + 1) * sizeof(Elf64_Sym);
  if (symbols_size > kMostTable) return strange();
  std::vector<uint8_t> symbols;
  std::vector<uint8_t> strings;
  if (all.last_symbol != 0) {
    TC_TRY(symbols, read_bytes(read, tables.symbols, symbols_size));
    TC_TRY(strings, read_bytes(read, tables.strings.address, tables.strings.size));
  }
  for (const Elf64_Rela& entry : all.interesting) {
    Import import;
    import.slot = module.base + entry.r_offset;
    const auto type = ELF64_R_TYPE(entry.r_info);
    if (type == R_X86_64_IRELATIVE) {
      import.kind = Import::Kind::kResolved;
      imports.push_back(std::move(import));
      continue;
    }
    import.kind = type == R_X86_64_JUMP_SLOT ? Import::Kind::kCall : Import::Kind::kAddress;
    const auto symbol = read_at<Elf64_Sym>(symbols, ELF64_R_SYM(entry.r_info) * sizeof(Elf64_Sym));
    if (!symbol) continue;
    const auto name = string_at(strings, symbol->st_name);
    if (!name || std::find(names.begin(), names.end(), *name) == names.end()) continue;
    import.name = *name;
    imports.push_back(std::move(import));
  }
  return imports;
}

Result<std::optional<Export>> find_export(const ReadMemory& read, const Module& module,
                                          const ModuleTables& tables, std::string_view name) {
  return Lookup(read, module, tables, name).run();
}

}  // namespace time_chaos::elf
