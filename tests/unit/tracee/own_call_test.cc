// A call of ours in place of the target's: what stands there, that a thread which nobody puts right
// makes its own call afterwards, and where the pages go that such calls map.
#include "agent/tracee/own_call.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "agent/tracee/more_slots.h"

namespace time_chaos::tracee {
namespace {

constexpr uint64_t kAt = 0x7fff0a40;

TEST(OwnCall, IsReadBackAsItWasWritten) {
  const Home wide{{1, 0x7ffcfedcba987654, 3, 4, 5, uint64_t(-6)}, 202, 0x55dead1000, false};
  const Home narrow{{1, 0xfedcba98, 3, 4, 5, 6}, 240, 0xf7fc1577, true};
  for (const Home& home : {wide, narrow}) {
    const auto read = parse_own_call(own_call_code(home, kAt), kAt);
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, home);
  }
  EXPECT_FALSE(parse_own_call(std::array<uint8_t, kOwnCallCode>{}, kAt));
}

// The code of a 32-bit program, which this one cannot run.
TEST(OwnCall, OfAThirtyTwoBitProgram) {
  const Home home{{1, 2, 3, 4, 5, 6}, 7, kAt + 0x100, true};
  constexpr uint8_t kExpected[] = {
      0xcd, 0x80,           // int $0x80
      0xbb, 1,    0, 0, 0,  // mov $1, %ebx
      0xb9, 2,    0, 0, 0,  // mov $2, %ecx
      0xba, 3,    0, 0, 0,  // mov $3, %edx
      0xbe, 4,    0, 0, 0,  // mov $4, %esi
      0xbf, 5,    0, 0, 0,  // mov $5, %edi
      0xbd, 6,    0, 0, 0,  // mov $6, %ebp
      0xb8, 7,    0, 0, 0,  // mov $7, %eax
      0xe9, 0xd6, 0, 0, 0,  // jmp: 0x100 from the beginning, 42 of which are behind us
  };
  const auto code = own_call_code(home, kAt);
  EXPECT_TRUE(std::equal(std::begin(kExpected), std::end(kExpected), code.begin()));
}

TEST(OwnCall, ComesHomeFromWhereverItStands) {
  Registers entry;
  entry.raw.rip = 0x401002;
  entry.raw.orig_rax = SYS_futex;
  entry.raw.rdi = 1, entry.raw.rsi = 2, entry.raw.rdx = 3;
  entry.raw.r10 = 4, entry.raw.r8 = 5, entry.raw.r9 = 6;
  const Home home = call_again(entry, false);
  Registers inside = through_own_call(entry, map_slots_call(0x10000, 4096, false), false, kAt);
  EXPECT_EQ(inside.raw.rip, kAt + 2);
  EXPECT_EQ(inside.call(), SYS_mmap);
  EXPECT_EQ(inside.raw.rdi, 0x10000U);
  Registers again = entry;
  again.raw.rax = SYS_futex;
  again.raw.rip = 0x401000;
  again.leave_call();
  EXPECT_EQ(at_home(inside, home), again);
}

// The code itself, run: in place of getpid() with six arguments.
TEST(OwnCall, AThreadOfADeadAgentMakesItsCall) {
  auto* const memory = static_cast<uint8_t*>(::mmap(
      nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  const Home home{{11, 12, 13, 14, 15, 16}, SYS_getpid, 0, false};
  const auto code = own_call_code(home, reinterpret_cast<uint64_t>(memory));
  std::memcpy(memory, code.data(), code.size());
  uint64_t got[7] = {};
  asm volatile(
      "mov %[got], %%rbx\n"
      "lea 1f(%%rip), %%rcx\n"
      "mov %%rcx, 74(%[at])\n"
      "mov $-1, %%edi\n"  // a call that fails: close(-1)
      "mov %[close], %%eax\n"
      "jmp *%[at]\n"
      "1: syscall\n"
      "mov %%rax, (%%rbx)\n"
      "mov %%rdi, 8(%%rbx)\n"
      "mov %%rsi, 16(%%rbx)\n"
      "mov %%rdx, 24(%%rbx)\n"
      "mov %%r10, 32(%%rbx)\n"
      "mov %%r8, 40(%%rbx)\n"
      "mov %%r9, 48(%%rbx)\n"
      :
      : [at] "r"(memory), [got] "r"(got), [close] "i"(SYS_close)
      : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
  EXPECT_EQ(got[0], static_cast<uint64_t>(::getpid()));
  for (uint64_t i = 0; i < 6; i++) EXPECT_EQ(got[i + 1], 11 + i);
  // A thread that is found in the middle of it.
  const SlotRange range{reinterpret_cast<uint64_t>(memory), kOwnCallSize};
  Registers inside;
  inside.set_ip(range.start + 2 * kSlotSize + 3);
  EXPECT_EQ(without_slot(::getpid(), inside, {&range, 1}).argument(5), 16U);
  const auto own = Memory::open(::getpid());
  ASSERT_TRUE(own);
  EXPECT_TRUE(any_in_use(*own, {&range, 1}));
  ::munmap(memory, 4096);
}

TEST(MoreSlots, GoWhereNothingIsAndNoStackGrows) {
  const auto mappings = targets::Mappings::parse(
      "20000000-20001000 r-xp 00000000 00:00 0 \n"
      "30000000-30001000 r-xp 00000000 00:00 0 \n"
      "30004000-30005000 r-xp 00000000 00:00 0 \n"
      "60000000-60001000 rw-p 00000000 00:00 0    [stack]\n"
      "70000000-70001000 r-xp 00000000 00:00 0    [vdso]\n");
  ASSERT_TRUE(mappings);
  EXPECT_EQ(place_for_slots(*mappings, 0x70000000, 0x10000), 0x70000000 - 0x11000);
  EXPECT_EQ(place_for_slots(*mappings, 0x60000000, 0x10000), 0x30000000 - 0x11000);
  EXPECT_EQ(place_for_slots(*mappings, 0x10000, 0x10000), std::nullopt);
}

// By their mark, and without one by what is left of the call that mapped them.
TEST(MoreSlots, AreFoundByWhoeverComesLater) {
  constexpr size_t kSize = 65536;
  auto* const room = static_cast<uint8_t*>(
      ::mmap(nullptr, 4 * kSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  auto* const pages = room + kSize;
  ASSERT_NE(
      ::mmap(pages, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
      MAP_FAILED);
  ASSERT_EQ(::mprotect(pages, kSize, PROT_READ | PROT_EXEC), 0);
  const auto start = reinterpret_cast<uint64_t>(pages);
  auto own = Memory::open(::getpid());
  ASSERT_TRUE(own);
  const auto find = [&](std::span<const SlotRange> slots) {
    const auto mappings = targets::Mappings::read(::getpid());
    return find_more_pages(*mappings, *own, slots);
  };
  EXPECT_TRUE(find({}).empty());
  std::vector<uint8_t> slots(2 * kOwnCallSize);
  const SlotRange range{reinterpret_cast<uint64_t>(slots.data()), slots.size()};
  const auto code = own_call_code({{1, 2, 3, 4, 5, 6}, 7, 8, false}, range.start + kSlotSize);
  const OwnCallNote note{start, kSize};
  std::memcpy(slots.data() + kSlotSize, code.data(), code.size());
  std::memcpy(slots.data() + kSlotSize + kOwnCallNote, &note, sizeof note);
  auto found = find({&range, 1});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].start, start);
  ASSERT_TRUE(own->write_value(start, MoreSlotsHeader{MoreSlotsHeader::kMagic, kSize}));
  EXPECT_EQ(find({&range, 1}).size(), 1U) << "once";
  found = find({});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].size, kSize);
  ::munmap(room, 4 * kSize);
}

}  // namespace
}  // namespace time_chaos::tracee
