// The structures and their rules are those of elf(5).
#include "agent/elf/layout.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "agent/elf/elf_bytes.h"

namespace time_chaos::elf {
namespace {

Result<Elf64_Ehdr> read_header(std::span<const uint8_t> bytes) {
  if (bytes.size() < EI_NIDENT || std::memcmp(bytes.data(), ELFMAG, SELFMAG) != 0) {
    return malformed("no ELF magic");
  }
  // e_type and e_machine lie at the same offsets in both classes.
  const auto machine = read_at<Elf64_Half>(bytes, offsetof(Elf64_Ehdr, e_machine));
  if (!machine) return malformed("the header is cut off");
  if (bytes[EI_CLASS] == ELFCLASS32) {
    const bool x32 = *machine == EM_X86_64;
    return fail(Exit::kUnsupported, fmt::format("{} vDSO", x32 ? "an x32" : "a 32-bit"),
                "only 64-bit x86-64 programs can be shifted by a detour");
  }
  if (bytes[EI_CLASS] != ELFCLASS64) return malformed("unknown class");
  if (bytes[EI_DATA] != ELFDATA2LSB || *machine != EM_X86_64) {
    return fail(Exit::kUnsupported, fmt::format("a vDSO for machine {}, not x86-64", *machine));
  }
  const auto header = read_at<Elf64_Ehdr>(bytes, 0);
  if (!header) return malformed("the header is cut off");
  if (header->e_type != ET_DYN) return malformed("not a shared object");
  if (header->e_phnum != 0 && header->e_phentsize != sizeof(Elf64_Phdr)) {
    return malformed("program headers of a strange size");
  }
  if (header->e_shoff != 0 && header->e_shnum != 0 && header->e_shentsize != sizeof(Elf64_Shdr)) {
    return malformed("section headers of a strange size");
  }
  return *header;
}

// Segments: the bias, the executable code, the dynamic table.
Status read_segments(std::span<const uint8_t> bytes, const Elf64_Ehdr& header, Layout& layout) {
  const uint64_t table_size = uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (!fits(header.e_phoff, table_size, bytes.size())) {
    return malformed("program headers outside the image");
  }
  layout.content_end = std::max(layout.content_end, header.e_phoff + table_size);
  std::optional<uint64_t> bias;
  std::optional<Range> code;
  for (uint64_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = read_at<Elf64_Phdr>(bytes, header.e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment) return malformed("program headers outside the image");
    if (segment->p_type != PT_LOAD && segment->p_type != PT_DYNAMIC) continue;
    const uint64_t size = std::max(segment->p_filesz, segment->p_memsz);
    if (!fits(segment->p_offset, size, bytes.size()))
      return malformed("a segment outside the image");
    const Range range{segment->p_offset, segment->p_offset + size};
    layout.content_end = std::max(layout.content_end, range.end);
    if (segment->p_type == PT_DYNAMIC) {
      layout.dynamic = range;
      continue;
    }
    const uint64_t this_bias = segment->p_vaddr - segment->p_offset;
    if (bias.value_or(this_bias) != this_bias)
      return malformed("layout in memory differs from file");
    bias = this_bias;
    if ((segment->p_flags & PF_X) != 0 && !code) code = range;
  }
  if (!code) return malformed("no executable segment");
  layout.bias = *bias;
  layout.code = *code;
  return {};
}

// Sections, where there are any: how far the contents reach, and what exactly is code.
Status read_sections(std::span<const uint8_t> bytes, const Elf64_Ehdr& header, Layout& layout) {
  if (header.e_shoff == 0 || header.e_shnum == 0) return {};
  const uint64_t table_size = uint64_t{header.e_shnum} * sizeof(Elf64_Shdr);
  if (!fits(header.e_shoff, table_size, bytes.size())) {
    return malformed("section headers outside the image");
  }
  layout.content_end = std::max(layout.content_end, header.e_shoff + table_size);
  const auto section = [&](uint64_t index) {
    return read_at<Elf64_Shdr>(bytes, header.e_shoff + index * sizeof(Elf64_Shdr));
  };
  std::span<const uint8_t> names;
  if (header.e_shstrndx < header.e_shnum) {
    const auto strings = section(header.e_shstrndx);
    if (strings && fits(strings->sh_offset, strings->sh_size, bytes.size())) {
      names = bytes.subspan(strings->sh_offset, strings->sh_size);
    }
  }
  const Range executable = layout.code;
  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    const auto here = section(i);
    if (!here) return malformed("section headers outside the image");
    if (here->sh_type == SHT_NULL || here->sh_type == SHT_NOBITS) continue;
    if (!fits(here->sh_offset, here->sh_size, bytes.size())) {
      return malformed("a section outside the image");
    }
    const Range range{here->sh_offset, here->sh_offset + here->sh_size};
    layout.content_end = std::max(layout.content_end, range.end);
    if (string_at(names, here->sh_name) != ".text") continue;
    if (range.begin < executable.begin || range.end > executable.end) {
      return malformed(".text outside the executable segment");
    }
    layout.code = range;
  }
  return {};
}

}  // namespace

tl::unexpected<Error> malformed(std::string_view what) {
  return fail(Exit::kFailed, fmt::format("not a well-formed vDSO image: {}", what));
}

Result<Layout> read_layout(std::span<const uint8_t> bytes) {
  TC_TRY(const Elf64_Ehdr header, read_header(bytes));
  Layout layout;
  layout.content_end = sizeof(Elf64_Ehdr);
  TC_CHECK(read_segments(bytes, header, layout));
  TC_CHECK(read_sections(bytes, header, layout));
  return layout;
}

}  // namespace time_chaos::elf
