// The structures are those of elf(5).
#include "agent/elf/library_file.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "agent/base/files.h"
#include "agent/elf/elf_bytes.h"
#include "agent/elf/imports.h"

namespace time_chaos::elf {
namespace {

constexpr size_t kMostBytes = size_t{16} << 20;

tl::unexpected<Error> unfit(const std::string& why, const std::string& remedy) {
  return fail(Exit::kUsage, why, remedy);
}

tl::unexpected<Error> no_library(const std::string& why) {
  return unfit("it is no shared library for x86-64: " + why, "build it with cc -shared -fPIC");
}

}  // namespace

Result<LibraryFile> LibraryFile::read(const std::string& path) {
  TC_TRY(const ScopedFd file, open_file(path, O_RDONLY | O_NONBLOCK));
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) return fail_errno("look at " + path);
  if (!S_ISREG(about.st_mode)) return no_library("it is not a file");
  if (static_cast<uint64_t>(about.st_size) > kMostBytes) {
    return unfit(fmt::format("it has more than {} MiB", kMostBytes >> 20),
                 "use a library of its own for the clock");
  }
  TC_TRY(const std::string text, read_file(path, kMostBytes));
  return parse({text.begin(), text.end()}, path.substr(path.rfind('/') + 1));
}

Result<LibraryFile> LibraryFile::parse(std::vector<uint8_t> bytes, std::string name) {
  LibraryFile library(std::move(bytes), std::move(name));
  TC_CHECK(library.read_headers());
  return library;
}

Status LibraryFile::read_headers() {
  const std::span<const uint8_t> all(bytes_);
  const auto header = read_at<Elf64_Ehdr>(all, 0);
  if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
    return no_library("no ELF file");
  if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
      header->e_machine != EM_X86_64) {
    return no_library("it is for another machine");
  }
  if (header->e_type != ET_DYN) return no_library("it is an object or a program");
  if (header->e_phentsize != sizeof(Elf64_Phdr)) return no_library("it is not well-formed");
  bool stack = false;
  for (uint64_t i = 0; i < header->e_phnum; i++) {
    const auto segment = read_at<Elf64_Phdr>(all, header->e_phoff + i * sizeof(Elf64_Phdr));
    if (!segment) return no_library("it is cut off");
    switch (segment->p_type) {
      case PT_LOAD:
        if (!fits(segment->p_offset, segment->p_filesz, all.size()))
          return no_library("it is cut off");
        segments_.push_back({segment->p_vaddr, segment->p_offset, segment->p_filesz});
        break;
      case PT_DYNAMIC:
        dynamic_ = segment->p_vaddr;
        break;
      case PT_INTERP:
        return no_library("it is a program");
      case PT_TLS:
        return unfit("it has thread-local variables, whose first use allocates memory",
                     "do without them");
      case PT_GNU_STACK:
        stack = (segment->p_flags & PF_X) == 0;
        break;
      default:
        break;
    }
  }
  if (segments_.empty() || dynamic_ == 0) return no_library("it has nothing to load");
  if (!stack) return unfit("it would make stacks executable", "link it with -z noexecstack");
  return {};
}

Status LibraryFile::read_at_address(uint64_t address, std::span<uint8_t> into) const {
  for (const Segment& segment : segments_) {
    if (address < segment.address || !fits(address - segment.address, into.size(), segment.size)) {
      continue;
    }
    const uint64_t at = segment.offset + (address - segment.address);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(at), into.size(), into.begin());
    return {};
  }
  return no_library("its tables lie outside of it");
}

Result<std::optional<uint64_t>> LibraryFile::function(std::string_view symbol) const {
  const ReadMemory read = [this](uint64_t address, std::span<uint8_t> into) {
    return read_at_address(address, into);
  };
  const Module module{0, dynamic_, name_};
  TC_TRY(const ModuleTables tables, read_tables(read, module));
  TC_TRY(const auto found, find_export(read, module, tables, symbol));
  if (!found) return std::optional<uint64_t>();
  if (!found->function || found->indirect || found->address == 0) {
    return unfit(fmt::format("its {} is not an ordinary function", symbol), "define it in C");
  }
  return std::optional(found->address);
}

}  // namespace time_chaos::elf
