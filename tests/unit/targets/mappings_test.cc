#include "agent/targets/mappings.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "child.h"

namespace time_chaos::targets {
namespace {

// A 64-bit process, kernel 6.18; two files with awkward names added.
constexpr std::string_view kMaps =
    R"(564d4808e000-564d48090000 r--p 00000000 fe:00 247134                     /usr/bin/cat
564d48090000-564d48095000 r-xp 00002000 fe:00 247134                     /usr/bin/cat
564d4f308000-564d4f329000 rw-p 00000000 00:00 0                          [heap]
7fe662222000-7fe662244000 rw-p 00000000 00:00 0 
7fe662291000-7fe662292000 r--s 00000000 103:05 320476                    /tmp/two  words (deleted)
7fe662292000-7fe662293000 rw-s 00001000 00:01 2051                       /memfd:a\012b (deleted)
7fe662494000-7fe662498000 r--p 00000000 00:00 0                          [vvar]
7fe66249a000-7fe66249c000 r-xp 00000000 00:00 0                          [vdso]
7ffc715b5000-7ffc715d6000 rw-p 00000000 00:00 0                          [stack]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
)";

// A 32-bit process on the same kernel.
constexpr std::string_view kMaps32 =
    R"(565d2000-565d3000 r--p 00000000 fe:00 10952862                           /tmp/h32
565d6000-565d7000 rw-p 00003000 fe:00 10952862                           /tmp/h32
f7ec3000-f7ec5000 rw-p 00000000 00:00 0 
f7ecb000-f7ecd000 r-xp 00000000 00:00 0                                  [vdso]
ff84e000-ff86f000 rw-p 00000000 00:00 0                                  [stack]
)";

Mappings parsed(std::string_view text) {
  auto mappings = Mappings::parse(text);
  EXPECT_TRUE(mappings) << mappings.error().line();
  return mappings ? *mappings : Mappings();
}

TEST(Mappings, ReadsEveryFieldOfALine) {
  const auto mapping = parse_mapping(
      "7fe662291000-7fe662293000 r--s 0001f000 103:05 320476      /tmp/two  words (deleted)");
  ASSERT_TRUE(mapping) << mapping.error().line();
  EXPECT_EQ(mapping->start, 0x7fe662291000u);
  EXPECT_EQ(mapping->end, 0x7fe662293000u);
  EXPECT_EQ(mapping->size(), 0x2000u);
  EXPECT_EQ(mapping->perms, "r--s");
  EXPECT_EQ(mapping->offset, 0x1f000u);
  EXPECT_EQ(mapping->device, "103:05");
  EXPECT_EQ(mapping->inode, 320476u);
  EXPECT_EQ(mapping->path, "/tmp/two  words (deleted)");
  EXPECT_FALSE(mapping->anonymous());
}

TEST(Mappings, ReadsAWholeProcess) {
  const Mappings mappings = parsed(kMaps);
  ASSERT_EQ(mappings.all().size(), 10u);
  EXPECT_TRUE(mappings.all()[3].anonymous());
  EXPECT_EQ(mappings.all()[5].path, "/memfd:a\\012b (deleted)");
  EXPECT_EQ(mappings.all()[9].start, 0xffffffffff600000u);
}

TEST(Mappings, ReadsA32BitProcess) {
  const Mappings mappings = parsed(kMaps32);
  ASSERT_NE(mappings.find("[vdso]"), nullptr);
  EXPECT_EQ(mappings.find("[vdso]")->start, 0xf7ecb000u);
}

TEST(Mappings, AcceptsTheLastLineWithoutNewline) {
  EXPECT_EQ(parsed("1000-2000 ---p 00000000 00:00 0").all().size(), 1u);
  EXPECT_EQ(parsed("").all().size(), 0u);
}

TEST(Mappings, RefusesWhatIsNotALine) {
  for (const char* line : {
           "",
           "hello",
           "1000",
           "1000-2000",
           "1000-2000 r-xp",
           "1000-2000 r-xp 0",
           "1000-2000 r-xp 0 00:00",
           "1000-2000 r-xp 0 00:00 x",
           "1000-2000 r-xp 0  0 /x",
           "1000-2000 rwx 0 00:00 0",
           "1000-2000 rwxq 0 00:00 0",
           "2000-1000 r-xp 0 00:00 0",
           "1000-1000 r-xp 0 00:00 0",
           "1000 2000 r-xp 0 00:00 0",
           "-1000-2000 r-xp 0 00:00 0",
           "10000000000000000-10000000000001000 r-xp 0 00:00 0",
           "1000-2000 r-xp 0 00:00 0/x",
       }) {
    EXPECT_FALSE(parse_mapping(line)) << line;
  }
}

TEST(Mappings, RefusesLinesOutOfOrder) {
  EXPECT_FALSE(Mappings::parse("2000-3000 r--p 0 00:00 0 \n1000-2000 r--p 0 00:00 0 \n"));
  EXPECT_FALSE(Mappings::parse("1000-3000 r--p 0 00:00 0 \n2000-4000 r--p 0 00:00 0 \n"));
  EXPECT_FALSE(Mappings::parse("1000-2000 r--p 0 00:00 0 \n\n"));
}

TEST(Mappings, FindsByExactPathTheFirst) {
  const Mappings mappings = parsed(kMaps);
  EXPECT_EQ(mappings.find("/usr/bin/cat"), &mappings.all()[0]);
  EXPECT_EQ(mappings.find("/usr/bin/ca"), nullptr);
  EXPECT_EQ(mappings.find("[vvar_vclock]"), nullptr);
}

TEST(Mappings, FindsByAddress) {
  const Mappings mappings = parsed(kMaps);
  EXPECT_EQ(mappings.at(0x564d4808e000), &mappings.all()[0]);
  EXPECT_EQ(mappings.at(0x564d4808ffff), &mappings.all()[0]);
  EXPECT_EQ(mappings.at(0x564d48090000), &mappings.all()[1]);
  EXPECT_EQ(mappings.at(0x564d48095000), nullptr);
  EXPECT_EQ(mappings.at(0), nullptr);
  EXPECT_EQ(mappings.at(0xffffffffff600fff), &mappings.all()[9]);
  EXPECT_EQ(mappings.at(0xffffffffff601000), nullptr);
}

TEST(Mappings, KnowsWhatIsFree) {
  const Mappings mappings = parsed("20000-30000 r--p 0 00:00 0 \n40000-50000 r--p 0 00:00 0 \n");
  EXPECT_TRUE(mappings.is_free(0x30000, 0x10000));  // exactly the hole
  EXPECT_FALSE(mappings.is_free(0x30000, 0x10001));
  EXPECT_FALSE(mappings.is_free(0x2ffff, 1));
  EXPECT_FALSE(mappings.is_free(0x28000, 0x20000));  // from inside one into the next
  EXPECT_FALSE(mappings.is_free(0x1f000, 0x40000));  // around one
  EXPECT_TRUE(mappings.is_free(0x10000, 0x10000));
  EXPECT_FALSE(mappings.is_free(0xffff, 1));  // below 64 KiB
  EXPECT_FALSE(mappings.is_free(0x30000, 0));
  EXPECT_TRUE(mappings.is_free(0x7fffffffe000, 0x1000));
  EXPECT_FALSE(mappings.is_free(0x7fffffffe000, 0x1001));
  EXPECT_FALSE(mappings.is_free(0x30000, ~uint64_t{0}));  // wraps around
  EXPECT_FALSE(mappings.is_free(0xffffffffff600000, 0x1000));
}

TEST(Mappings, ReadsALiveProcess) {
  const testing::Child child;
  const auto mappings = Mappings::read(child.pid());
  ASSERT_TRUE(mappings) << mappings.error().line();
  ASSERT_NE(mappings->find("[stack]"), nullptr);
  const auto here = reinterpret_cast<uint64_t>(&parse_mapping);  // at the same place after a fork
  ASSERT_NE(mappings->at(here), nullptr);
  EXPECT_EQ(mappings->at(here)->perms, "r-xp");
}

// More text than one read of /proc can return. 20000 stays below vm.max_map_count's 65530.
TEST(Mappings, ReadsManyMappings) {
  constexpr size_t kPages = 20000;
  const auto page = static_cast<size_t>(::getpagesize());
  const testing::Child child([page] {
    void* place = ::mmap(nullptr, kPages * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < kPages; i += 2) {
      ::mprotect(static_cast<char*>(place) + i * page, page, PROT_NONE);
    }
  });
  const auto mappings = Mappings::read(child.pid());
  ASSERT_TRUE(mappings) << mappings.error().line();
  EXPECT_GE(mappings->all().size(), kPages - 1);
}

TEST(Mappings, AnEndedProcessIsNoTarget) {
  testing::Child child;
  child.end();
  const auto mappings = Mappings::read(child.pid());
  ASSERT_FALSE(mappings);
  EXPECT_EQ(mappings.error().kind(), Exit::kNoTarget);
  EXPECT_EQ(mappings.error().line(), "no process " + std::to_string(child.pid()));
}

}  // namespace
}  // namespace time_chaos::targets
