// The number of dynamic symbols stands nowhere by itself: it follows from a hash table. DT_HASH
// says it outright (nchain); of DT_GNU_HASH it is one past the last entry of the last chain.
#include "agent/elf/dynamic.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "agent/elf/elf_bytes.h"

namespace time_chaos::elf {
namespace {

// Real vDSOs have about 15.
constexpr uint64_t kMaxSymbols = 4096;

// Offsets into the image of the tables that the dynamic table names.
struct Tables {
  std::optional<uint64_t> symbols;
  std::optional<uint64_t> strings;
  std::optional<uint64_t> hash;
  std::optional<uint64_t> gnu_hash;
  std::optional<uint64_t> soname;  // an offset into the strings
  uint64_t strings_size = 0;
  uint64_t symbol_size = sizeof(Elf64_Sym);
};

Tables find_tables(std::span<const uint8_t> bytes, const Layout& layout, const Range& dynamic) {
  Tables tables;
  for (uint64_t at = dynamic.begin; fits(at, sizeof(Elf64_Dyn), dynamic.end);
       at += sizeof(Elf64_Dyn)) {
    const auto entry = read_at<Elf64_Dyn>(bytes, at);
    if (!entry || entry->d_tag == DT_NULL) break;
    const uint64_t offset = entry->d_un.d_ptr - layout.bias;
    switch (entry->d_tag) {
      case DT_SYMTAB:
        tables.symbols = offset;
        break;
      case DT_STRTAB:
        tables.strings = offset;
        break;
      case DT_HASH:
        tables.hash = offset;
        break;
      case DT_GNU_HASH:
        tables.gnu_hash = offset;
        break;
      case DT_STRSZ:
        tables.strings_size = entry->d_un.d_val;
        break;
      case DT_SYMENT:
        tables.symbol_size = entry->d_un.d_val;
        break;
      case DT_SONAME:
        tables.soname = entry->d_un.d_val;
        break;
      default:
        break;
    }
  }
  return tables;
}

// DT_HASH: nbucket, nchain, then the two arrays, 32 bits each.
Result<uint64_t> count_by_hash(std::span<const uint8_t> bytes, uint64_t table) {
  if (!fits(table, 2 * sizeof(uint32_t), bytes.size())) return malformed("hash table outside");
  return *read_at<uint32_t>(bytes, table + sizeof(uint32_t));
}

// DT_GNU_HASH: nbuckets, symoffset, bloom_size, bloom_shift; 64-bit bloom words; 32-bit buckets;
// 32-bit chain values, of which the lowest bit ends a chain.
Result<uint64_t> count_by_gnu_hash(std::span<const uint8_t> bytes, uint64_t table) {
  constexpr uint64_t kWord = sizeof(uint32_t);
  if (!fits(table, 4 * kWord, bytes.size())) return malformed("hash table outside");
  const uint64_t bucket_count = *read_at<uint32_t>(bytes, table);
  const uint64_t first_symbol = *read_at<uint32_t>(bytes, table + kWord);
  const uint64_t bloom_count = *read_at<uint32_t>(bytes, table + 2 * kWord);
  // None of these sums can wrap: the counts have 32 bits and `table` is inside the image.
  const uint64_t buckets = table + 4 * kWord + bloom_count * sizeof(uint64_t);
  const uint64_t chains = buckets + bucket_count * kWord;
  if (!fits(buckets, bucket_count * kWord, bytes.size())) return malformed("hash table outside");
  uint64_t last = 0;
  for (uint64_t i = 0; i < bucket_count; ++i) {
    last = std::max<uint64_t>(last, *read_at<uint32_t>(bytes, buckets + i * kWord));
  }
  if (last < first_symbol) return first_symbol;  // all chains empty
  for (;; ++last) {
    const auto value = read_at<uint32_t>(bytes, chains + (last - first_symbol) * kWord);
    if (!value) return malformed("hash chain without an end");
    if ((*value & 1U) != 0) return last + 1;
  }
}

Result<uint64_t> count_symbols(std::span<const uint8_t> bytes, const Tables& tables) {
  if (tables.hash) return count_by_hash(bytes, *tables.hash);
  if (tables.gnu_hash) return count_by_gnu_hash(bytes, *tables.gnu_hash);
  return malformed("no hash table");
}

}  // namespace

Result<Dynamic> read_dynamic(std::span<const uint8_t> bytes, const Layout& layout) {
  if (!layout.dynamic) return malformed("no dynamic table");
  const Tables tables = find_tables(bytes, layout, *layout.dynamic);
  if (!tables.symbols || !tables.strings) return malformed("no dynamic symbols");
  if (tables.symbol_size != sizeof(Elf64_Sym)) return malformed("symbols of a strange size");
  if (!fits(*tables.strings, tables.strings_size, bytes.size())) {
    return malformed("string table outside the image");
  }
  const std::span<const uint8_t> strings = bytes.subspan(*tables.strings, tables.strings_size);
  TC_TRY(const uint64_t count, count_symbols(bytes, tables));
  if (count > kMaxSymbols) return malformed(fmt::format("{} symbols", count));
  if (!fits(*tables.symbols, count * sizeof(Elf64_Sym), bytes.size())) {
    return malformed("symbol table outside the image");
  }

  Dynamic dynamic;
  if (tables.soname) dynamic.soname = string_at(strings, *tables.soname).value_or("");
  for (uint64_t i = 0; i < count; ++i) {
    const Elf64_Sym symbol = *read_at<Elf64_Sym>(bytes, *tables.symbols + i * sizeof(Elf64_Sym));
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
    const auto name = string_at(strings, symbol.st_name);
    if (!name || name->empty()) return malformed("a function without a name");
    const uint64_t offset = symbol.st_value - layout.bias;
    if (!fits(offset, symbol.st_size, bytes.size()) || offset == bytes.size()) {
      return malformed("a function outside the image");
    }
    dynamic.functions.emplace(*name, Symbol{offset, symbol.st_size});
  }
  return dynamic;
}

}  // namespace time_chaos::elf
