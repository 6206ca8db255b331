// The loader's functions, in this process and in modules made by hand: as in C libraries that
// this machine does not have.
#include "agent/vdso/loader.h"

#include <dlfcn.h>
#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>

#include "tests/unit/targets/child.h"

namespace time_chaos::vdso {
namespace {

using testing::Child;

Status read_own(uint64_t address, std::span<uint8_t> into) {
  if (address < 4096) return fail(Exit::kFailed, "nothing is there");
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  std::memcpy(into.data(), reinterpret_cast<const void*>(address), into.size());
  return {};
}

// The dynamic section of a module with these functions. Its own base is 0.
class HandMade {
 public:
  explicit HandMade(const std::vector<std::string>& functions) {
    strings_.push_back('\0');
    symbols_.push_back({});
    hash_ = {1, static_cast<uint32_t>(functions.size() + 1), functions.empty() ? 0U : 1U, 0};
    for (const std::string& name : functions) {
      Elf64_Sym symbol{};
      symbol.st_name = static_cast<uint32_t>(strings_.size());
      symbol.st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC);
      symbol.st_shndx = 1;
      symbol.st_value = address_of(name);
      strings_ += name + '\0';
      symbols_.push_back(symbol);
      hash_.push_back(
          symbols_.size() == functions.size() + 1 ? 0U : static_cast<uint32_t>(symbols_.size()));
    }
    add(DT_SYMTAB, symbols_.data());
    add(DT_STRTAB, strings_.data());
    dynamic_.push_back({DT_STRSZ, {strings_.size()}});
    add(DT_HASH, hash_.data());
    dynamic_.push_back({DT_NULL, {0}});
  }
  HandMade(const HandMade&) = delete;
  HandMade& operator=(const HandMade&) = delete;
  HandMade(HandMade&&) = delete;
  HandMade& operator=(HandMade&&) = delete;
  ~HandMade() = default;

  static uint64_t address_of(const std::string& name) {
    return 0x1000 + std::hash<std::string>()(name) % 0x100000;
  }
  [[nodiscard]] elf::Module module(const std::string& path) const {
    return {0, reinterpret_cast<uint64_t>(dynamic_.data()), path};
  }

 private:
  void add(int64_t tag, const void* table) {
    dynamic_.push_back({tag, {reinterpret_cast<uint64_t>(table)}});
  }
  std::string strings_;
  std::vector<Elf64_Sym> symbols_;
  std::vector<uint32_t> hash_;
  std::vector<Elf64_Dyn> dynamic_;
};

class Modules {
 public:
  Modules& add(const std::string& path, const std::vector<std::string>& functions) {
    made_.emplace_back(functions);
    map_.modules.push_back(made_.back().module(path));
    return *this;
  }
  [[nodiscard]] Result<Loader> loader() const { return find_loader(read_own, map_); }

 private:
  std::deque<HandMade> made_;
  elf::LinkMap map_;
};

const std::vector<std::string> kNewGlibc = {"__libc_start_main",
                                            "gnu_get_libc_version",
                                            "malloc",
                                            "__errno_location",
                                            "dlopen",
                                            "dlclose",
                                            "dlerror"};
const std::vector<std::string> kOldGlibc = {
    "__libc_start_main", "gnu_get_libc_version", "malloc",
    "__errno_location",  "__libc_dlopen_mode",   "__libc_dlclose"};
const std::vector<std::string> kMusl = {"__libc_start_main", "__errno_location", "dlopen", "malloc",
                                        "dlclose",           "dlerror",          "__dls2b"};
const std::vector<std::string> kLoader = {"_rtld_global", "malloc"};

TEST(Loader, OfGlibcSince234) {
  const auto loader =
      Modules().add("", {}).add("/libc.so.6", kNewGlibc).add("/ld.so", kLoader).loader();
  ASSERT_TRUE(loader) << loader.error().line();
  EXPECT_EQ(loader->load, HandMade::address_of("dlopen"));
  EXPECT_EQ(loader->unload, HandMade::address_of("dlclose"));
  EXPECT_EQ(loader->why, HandMade::address_of("dlerror"));
  EXPECT_EQ(loader->mode, 2U);
  EXPECT_TRUE(loader->apart);
  EXPECT_FALSE(loader->foreign_allocator);
  EXPECT_FALSE(loader->never_unloads);
}

TEST(Loader, OfGlibcBefore234) {
  const auto loader =
      Modules().add("", {}).add("/libc.so.6", kOldGlibc).add("/ld.so", kLoader).loader();
  ASSERT_TRUE(loader) << loader.error().line();
  EXPECT_EQ(loader->load, HandMade::address_of("__libc_dlopen_mode"));
  EXPECT_EQ(loader->unload, HandMade::address_of("__libc_dlclose"));
  EXPECT_EQ(loader->why, 0U);
  EXPECT_EQ(loader->mode, 0x80000002U);
}

TEST(Loader, OfGlibcBefore234WithItsOwnLibrary) {
  const auto loader = Modules()
                          .add("", {})
                          .add("/lib/libdl.so.2", {"dlopen", "dlclose", "dlerror"})
                          .add("/libc.so.6", kOldGlibc)
                          .add("/ld.so", kLoader)
                          .loader();
  ASSERT_TRUE(loader) << loader.error().line();
  EXPECT_EQ(loader->load, HandMade::address_of("dlopen"));
  EXPECT_EQ(loader->mode, 2U);
}

TEST(Loader, OfMusl) {
  const auto loader = Modules().add("", {}).add("/lib/ld-musl-x86_64.so.1", kMusl).loader();
  ASSERT_TRUE(loader) << loader.error().line();
  EXPECT_FALSE(loader->apart);
  EXPECT_TRUE(loader->never_unloads);
}

TEST(Loader, OfAnUnknownLibraryIsRefused) {
  for (const auto& functions : std::vector<std::vector<std::string>>{
           {"main"}, {"__libc_start_main", "__errno_location", "dlopen", "dlclose"}}) {
    const auto loader = Modules().add("", {}).add("/libc.so", functions).loader();
    ASSERT_FALSE(loader);
    EXPECT_EQ(loader.error().kind(), Exit::kUnsupported);
  }
}

TEST(Loader, AnAllocatorOfTheProgramsOwn) {
  const auto loader =
      Modules().add("", {"malloc"}).add("/libc.so.6", kNewGlibc).add("/ld.so", kLoader).loader();
  ASSERT_TRUE(loader) << loader.error().line();
  EXPECT_TRUE(loader->foreign_allocator);
}

#if !defined(__SANITIZE_ADDRESS__)
TEST(Loader, OfAProcess) {
  const Child child;
  const auto memory = tracee::Memory::open(child.pid());
  ASSERT_TRUE(memory);
  const auto loader = find_loader(child.pid(), *memory);
  ASSERT_TRUE(loader) << loader.error().line();
  EXPECT_EQ(loader->load, reinterpret_cast<uint64_t>(&::dlopen));
  EXPECT_EQ(loader->errno_location, reinterpret_cast<uint64_t>(&__errno_location));
  const auto inside = [](uint64_t address, const Ranges& ranges) {
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const auto& range) { return address - range.start < range.size; });
  };
  EXPECT_TRUE(inside(reinterpret_cast<uint64_t>(&::getpid), loader->library));
  EXPECT_TRUE(inside(reinterpret_cast<uint64_t>(::dlsym(RTLD_DEFAULT, "_dl_allocate_tls")),
                     loader->loader));
}
#endif

}  // namespace
}  // namespace time_chaos::vdso
