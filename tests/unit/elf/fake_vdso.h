// A small vDSO image made by hand, so that tests can bend every part of it. Header-only: the tests
// of the vdso room use it too.
#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace time_chaos::test {

struct FakeVdso {
  struct Function {
    std::string name;
    uint64_t offset = 0;  // from kCode
    uint64_t size = 0;
    bool defined = true;
  };

  // Where the parts lie in the image.
  static constexpr uint64_t kDynamic = 0x100;
  static constexpr uint64_t kSymbols = 0x200;
  static constexpr uint64_t kStrings = 0x400;
  static constexpr uint64_t kHash = 0x500;
  static constexpr uint64_t kGnuHash = 0x600;
  static constexpr uint64_t kCode = 0x800;
  static constexpr uint64_t kSectionNames = 0xc00;
  static constexpr uint64_t kSections = 0xd00;
  static constexpr uint64_t kSectionCount = 3;
  static constexpr uint64_t kSize = 0x1000;

  std::vector<uint8_t> code = {0x90, 0x90, 0x90, 0x90, 0x90, 0xc3};
  std::vector<Function> functions = {{"__vdso_clock_gettime", 0, 6}};
  bool hash = true;
  bool gnu_hash = false;
  bool sections = true;
  uint64_t bias = 0;

  [[nodiscard]] std::vector<uint8_t> bytes() const {
    std::vector<uint8_t> out(kSize);
    put_headers(out);
    const uint64_t strings_size = put_symbols(out);
    put_hashes(out);
    put_dynamic(out, strings_size);
    std::memcpy(out.data() + kCode, code.data(), code.size());
    if (sections) put_sections(out);
    return out;
  }

  template <typename T>
  static void put(std::vector<uint8_t>& out, uint64_t offset, const T& value) {
    std::memcpy(&out.at(offset + sizeof(T) - 1) - (sizeof(T) - 1), &value, sizeof(T));
  }

 private:
  // Where the loaded part ends.
  [[nodiscard]] uint64_t code_end() const { return kCode + code.size(); }

  void put_headers(std::vector<uint8_t>& out) const {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_DYN;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    if (sections) {
      header.e_shoff = kSections;
      header.e_shentsize = sizeof(Elf64_Shdr);
      header.e_shnum = kSectionCount;
      header.e_shstrndx = kSectionCount - 1;
    }
    put(out, 0, header);
    put(out, header.e_phoff,
        Elf64_Phdr{.p_type = PT_LOAD,
                   .p_flags = PF_R | PF_X,
                   .p_offset = 0,
                   .p_vaddr = bias,
                   .p_paddr = 0,
                   .p_filesz = code_end(),
                   .p_memsz = code_end(),
                   .p_align = 0x1000});
    put(out, header.e_phoff + sizeof(Elf64_Phdr),
        Elf64_Phdr{.p_type = PT_DYNAMIC,
                   .p_flags = PF_R,
                   .p_offset = kDynamic,
                   .p_vaddr = kDynamic + bias,
                   .p_paddr = 0,
                   .p_filesz = 0x80,
                   .p_memsz = 0x80,
                   .p_align = 8});
  }

  uint64_t put_symbols(std::vector<uint8_t>& out) const {
    std::string strings = std::string(1, '\0') + "linux-vdso.so.1" + '\0';
    for (uint64_t i = 0; i < functions.size(); ++i) {
      const Function& function = functions[i];
      Elf64_Sym symbol{};
      symbol.st_name = static_cast<uint32_t>(strings.size());
      symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
      symbol.st_shndx = function.defined ? 1 : SHN_UNDEF;
      symbol.st_value = kCode + function.offset + bias;
      symbol.st_size = function.size;
      put(out, kSymbols + (i + 1) * sizeof(Elf64_Sym), symbol);
      strings += function.name + '\0';
    }
    std::memcpy(out.data() + kStrings, strings.data(), strings.size());
    return strings.size();
  }

  void put_hashes(std::vector<uint8_t>& out) const {
    const auto count = static_cast<uint32_t>(functions.size() + 1);
    if (hash) {
      put(out, kHash, uint32_t{1});
      put(out, kHash + 4, count);
    }
    if (!gnu_hash) return;
    // Two buckets (the first one empty), symbols from 1 on, one bloom word, one chain.
    for (uint64_t i = 0; const uint32_t word : {2U, 1U, 1U, 0U, 0U, 0U, 0U, 1U}) {
      put(out, kGnuHash + 4 * i++, word);
    }
    for (uint32_t i = 1; i < count; ++i) {
      put(out, kGnuHash + 32 + uint64_t{4} * (i - 1), uint32_t{i + 1 == count ? 1U : 0U});
    }
  }

  void put_dynamic(std::vector<uint8_t>& out, uint64_t strings_size) const {
    uint64_t at = kDynamic;
    const auto entry = [&](int64_t tag, uint64_t value) {
      put(out, at, Elf64_Dyn{tag, {value}});
      at += sizeof(Elf64_Dyn);
    };
    entry(DT_SONAME, 1);
    if (hash) entry(DT_HASH, kHash + bias);
    if (gnu_hash) entry(DT_GNU_HASH, kGnuHash + bias);
    entry(DT_STRTAB, kStrings + bias);
    entry(DT_SYMTAB, kSymbols + bias);
    entry(DT_STRSZ, strings_size);
    entry(DT_SYMENT, sizeof(Elf64_Sym));
    entry(DT_NULL, 0);
  }

  void put_sections(std::vector<uint8_t>& out) const {
    const std::string names = std::string(1, '\0') + ".text" + '\0';
    std::memcpy(out.data() + kSectionNames, names.data(), names.size());
    Elf64_Shdr text{};
    text.sh_name = 1;
    text.sh_type = SHT_PROGBITS;
    text.sh_flags = SHF_ALLOC | SHF_EXECINSTR;
    text.sh_offset = kCode;
    text.sh_size = code.size();
    put(out, kSections + sizeof(Elf64_Shdr), text);
    Elf64_Shdr strings{};
    strings.sh_type = SHT_STRTAB;
    strings.sh_offset = kSectionNames;
    strings.sh_size = names.size();
    put(out, kSections + 2 * sizeof(Elf64_Shdr), strings);
  }
};

}  // namespace time_chaos::test
