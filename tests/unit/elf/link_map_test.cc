// The loader's list of this very process, held against what the loader itself says of it.
#include "agent/elf/link_map.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <link.h>
#include <sys/auxv.h>
#include <time.h>

#include <cstring>
#include <map>

#include "agent/elf/imports.h"

namespace time_chaos::elf {
namespace {

// Of this process; nothing below the first page.
Status read_own(uint64_t address, std::span<uint8_t> into) {
  if (address < 4096) return fail(Exit::kFailed, "nothing is there");
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  std::memcpy(into.data(), reinterpret_cast<const void*>(address), into.size());
  return {};
}

ProgramHeaders own_headers() {
  return {::getauxval(AT_PHDR), ::getauxval(AT_PHNUM)};
}

TEST(LinkMap, IsTheLoaders) {
  const auto map = read_link_map(read_own, own_headers());
  ASSERT_TRUE(map) << map.error().line();
  EXPECT_TRUE(map->consistent);
  std::map<std::string, uint64_t> loaded;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        (*static_cast<std::map<std::string, uint64_t>*>(data))[info->dlpi_name] = info->dlpi_addr;
        return 0;
      },
      &loaded);
  ASSERT_EQ(map->modules.size(), loaded.size());
  for (const Module& module : map->modules) EXPECT_EQ(loaded[module.path], module.base);
  EXPECT_EQ(map->modules.front().path, "");
}

TEST(LinkMap, OfAStaticProgram) {
  ProgramHeaders none = own_headers();
  none.count = 1;  // PT_PHDR alone
  const auto map = read_link_map(read_own, none);
  ASSERT_FALSE(map);
  EXPECT_EQ(map.error().kind(), Exit::kUnsupported);
  EXPECT_THAT(map.error().line(), testing::HasSubstr("linked statically"));
}

Module module_of(const LinkMap& map, const std::string& part) {
  for (const Module& module : map.modules) {
    if (module.path.find(part) != std::string::npos) return module;
  }
  return {};
}

TEST(Imports, ExportsAreWhereTheLoaderFindsThem) {
  const auto map = read_link_map(read_own, own_headers());
  ASSERT_TRUE(map) << map.error().line();
  const Module libc = module_of(*map, "/libc.so");
  ASSERT_NE(libc.dynamic, 0U);
  const auto tables = read_tables(read_own, libc);
  ASSERT_TRUE(tables) << tables.error().line();
  const auto found = find_export(read_own, libc, *tables, "clock_gettime");
  ASSERT_TRUE(found && *found);
  // Of that library itself: a sanitizer's stands before it.
  void* library = ::dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  ASSERT_NE(library, nullptr);
  EXPECT_EQ((*found)->address, reinterpret_cast<uint64_t>(::dlsym(library, "clock_gettime")));
  ::dlclose(library);
  EXPECT_FALSE((*found)->indirect);
  const auto indirect = find_export(read_own, libc, *tables, "time");
  ASSERT_TRUE(indirect && *indirect);
  EXPECT_TRUE((*indirect)->indirect);
  const auto absent = find_export(read_own, libc, *tables, "clock_gettimf");
  ASSERT_TRUE(absent) << absent.error().line();
  EXPECT_FALSE(*absent);
}

TEST(Imports, OurOwnSlotLeadsToTheCLibrary) {
  timespec now{};
  ASSERT_EQ(::clock_gettime(CLOCK_REALTIME, &now), 0);  // bound now
  const auto map = read_link_map(read_own, own_headers());
  ASSERT_TRUE(map) << map.error().line();
  const Module& program = map->modules.front();
  const auto tables = read_tables(read_own, program);
  ASSERT_TRUE(tables) << tables.error().line();
  const auto imports = find_imports(read_own, program, *tables, {"clock_gettime"});
  ASSERT_TRUE(imports) << imports.error().line();
  int named = 0;
  for (const Import& import : *imports) {
    if (import.name != "clock_gettime") continue;
    named++;
    uint64_t value = 0;
    ASSERT_TRUE(read_own(import.slot, {reinterpret_cast<uint8_t*>(&value), sizeof value}));
    EXPECT_EQ(value, reinterpret_cast<uint64_t>(&::clock_gettime));
  }
  EXPECT_GE(named, 1);
}

}  // namespace
}  // namespace time_chaos::elf
