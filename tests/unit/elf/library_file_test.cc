// A library of the user's, looked at before it goes into a running program: the libraries of this
// test itself, whole and damaged.
#include "agent/elf/library_file.h"

#include <dlfcn.h>
#include <elf.h>
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <random>

#include "agent/base/files.h"

namespace time_chaos::elf {
namespace {

std::string path_of(const void* function) {
  Dl_info info{};
  return ::dladdr(function, &info) != 0 ? info.dli_fname : "";
}

// By a function that no sanitizer replaces.
std::string math() {
  return path_of(::dlsym(RTLD_DEFAULT, "cbrt"));
}

std::vector<uint8_t> bytes_of(const std::string& path) {
  const auto text = read_file(path);
  return text ? std::vector<uint8_t>(text->begin(), text->end()) : std::vector<uint8_t>();
}

template <typename Change>
Result<LibraryFile> changed(Change&& change) {
  auto bytes = bytes_of(math());
  change(bytes, *reinterpret_cast<Elf64_Ehdr*>(bytes.data()));
  return LibraryFile::parse(std::move(bytes), "libm.so");
}

// Of that type.
Elf64_Phdr& segment(std::vector<uint8_t>& bytes, uint32_t type) {
  const auto& header = *reinterpret_cast<Elf64_Ehdr*>(bytes.data());
  auto* segments = reinterpret_cast<Elf64_Phdr*>(bytes.data() + header.e_phoff);
  for (int i = 0; i < header.e_phnum; i++) {
    if (segments[i].p_type == type) return segments[i];
  }
  return segments[0];
}

void expect_unfit(const Result<LibraryFile>& library, const std::string& why) {
  ASSERT_FALSE(library) << why;
  EXPECT_EQ(library.error().kind(), Exit::kUsage);
  EXPECT_THAT(library.error().line(), testing::HasSubstr(why));
}

TEST(LibraryFile, FunctionsAreWhereTheLoaderPutsThem) {
  const auto library = LibraryFile::read(math());
  ASSERT_TRUE(library) << library.error().line();
  EXPECT_THAT(library->name(), testing::StartsWith("libm"));
  void* function = ::dlsym(RTLD_DEFAULT, "cbrt");
  Dl_info info{};
  ASSERT_NE(::dladdr(function, &info), 0);
  const auto base = reinterpret_cast<uint64_t>(info.dli_fbase);
  const auto found = library->function("cbrt");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ(base + **found, reinterpret_cast<uint64_t>(function));
  const auto missing = library->function("fake_clock_gettime");
  ASSERT_TRUE(missing);
  EXPECT_FALSE(*missing);
}

TEST(LibraryFile, OneThatChoosesAtRunTimeIsNoFunction) {
  const auto library = LibraryFile::read(math());
  ASSERT_TRUE(library);
  const auto found = library->function("sinf");  // STT_GNU_IFUNC
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().kind(), Exit::kUsage);
}

TEST(LibraryFile, WhatIsNoLibraryIsRefused) {
  expect_unfit(LibraryFile::read("/proc/self/exe"), "program");
  expect_unfit(LibraryFile::read("/etc/passwd"), "no ELF file");
  expect_unfit(LibraryFile::read("/tmp"), "not a file");
  EXPECT_FALSE(LibraryFile::read("/nowhere/libnot.so"));
  expect_unfit(LibraryFile::parse({}, "none"), "no ELF file");
  expect_unfit(changed([](auto&, auto& header) { header.e_machine = EM_AARCH64; }), "machine");
  expect_unfit(changed([](auto&, auto& header) { header.e_ident[EI_CLASS] = ELFCLASS32; }),
               "machine");
  expect_unfit(changed([](auto&, auto& header) { header.e_type = ET_EXEC; }), "program");
  expect_unfit(changed([](auto& bytes, auto&) { bytes.resize(bytes.size() / 2); }), "cut off");
}

TEST(LibraryFile, WhatWouldHarmARunningProgramIsRefused) {
  expect_unfit(changed([](auto& bytes, auto&) { segment(bytes, PT_NOTE).p_type = PT_TLS; }),
               "thread-local");
  expect_unfit(changed([](auto& bytes, auto&) { segment(bytes, PT_GNU_STACK).p_flags |= PF_X; }),
               "executable");
  expect_unfit(changed([](auto& bytes, auto&) { segment(bytes, PT_GNU_STACK).p_type = PT_NOTE; }),
               "executable");
}

TEST(LibraryFile, NoBytesMakeItReadOutside) {
  const auto whole = bytes_of(math());
  std::minstd_rand random(1);
  for (int i = 0; i < 300; i++) {
    auto bytes = whole;
    for (int n = 0; n < 8; n++) bytes[random() % 1024] = static_cast<uint8_t>(random());
    if (i % 3 == 0) bytes.resize(random() % bytes.size());
    const auto library = LibraryFile::parse(std::move(bytes), "libm.so");
    if (library) (void)library->function("cbrt");
  }
}

}  // namespace
}  // namespace time_chaos::elf
