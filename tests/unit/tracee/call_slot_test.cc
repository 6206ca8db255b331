// A call whose argument was replaced: what stands in the slot, and that a thread which nobody puts
// right finds home by it.
#include "agent/tracee/call_slot.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <cstring>

namespace time_chaos::tracee {
namespace {

constexpr uint64_t kSlot = 0x7fff0a40;
constexpr uint64_t kIp = 0x55dead1002;

TEST(CallSlot, IsReadBackAsItWasWritten) {
  for (int index = 0; index < 6; index++) {
    for (const bool narrow : {false, true}) {
      const uint64_t value = narrow ? 0xfedcba98 : 0x7ffcfedcba987654;
      const uint64_t ip = narrow ? 0xf7fc1579 : kIp;
      const auto code = slot_code({index, value, ip, narrow}, kSlot);
      const auto read = parse_slot(code, kSlot);
      ASSERT_TRUE(read) << index;
      EXPECT_EQ(read->index, index);
      EXPECT_EQ(read->value, value);
      EXPECT_EQ(read->ip, ip);
      EXPECT_EQ(read->narrow, narrow);
    }
  }
  EXPECT_FALSE(parse_slot(std::array<uint8_t, kSlotCode>{}, kSlot));
}

TEST(CallSlot, IsTakenForNothingElse) {
  std::array<uint8_t, kSlotCode> code{};
  EXPECT_TRUE(is_free_or_old(code, kSlot));
  code.fill(0xcc);
  EXPECT_TRUE(is_free_or_old(code, kSlot));
  EXPECT_TRUE(is_free_or_old(slot_code({3, 1, kIp, false}, kSlot), kSlot));
  code[7] = 0x90;
  EXPECT_FALSE(is_free_or_old(code, kSlot));
}

TEST(CallSlot, PutsBackWhateverItReplaced) {
  Registers entry;
  entry.raw.rip = kIp;
  entry.raw.r10 = 0x1234;
  entry.raw.orig_rax = SYS_futex;
  const ReplacedArgument replaced{3, entry.raw.r10, entry.raw.rip, false};
  Registers inside = through_slot(entry, replaced, kSlot, kSlot + kSlotCode);
  EXPECT_EQ(inside.raw.r10, kSlot + kSlotCode);
  EXPECT_EQ(inside.raw.rip, kSlot + 2);
  EXPECT_EQ(put_back(inside, replaced, kSlot), entry);
  inside.raw.rip = kSlot;  // about to make the call again
  EXPECT_EQ(put_back(inside, replaced, kSlot).raw.rip, kIp - 2);
}

// The code itself, run: a sleep whose end is behind it, called with an argument that would be
// refused, from code that checks every register afterwards.
TEST(CallSlot, AThreadOfADeadAgentFindsHome) {
  auto* const memory = static_cast<uint8_t*>(::mmap(
      nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(memory, MAP_FAILED);
  const timespec past{1, 0};
  std::memcpy(memory + kSlotCode, &past, sizeof past);
  const uint64_t own = 0xabcd;
  uint64_t result = 1, rdx = 0, rcx = 0;
  const auto code = slot_code({2, own, 0, false}, reinterpret_cast<uint64_t>(memory));
  std::memcpy(memory, code.data(), code.size());
  asm volatile(
      "lea 2f(%%rip), %%rcx\n"
      "mov %%rcx, 14(%[slot])\n"  // `home`, behind the opcode of the second mov
      "mov $1, %%esi\n"           // TIMER_ABSTIME
      "xor %%edi, %%edi\n"        // CLOCK_REALTIME
      "lea 24(%[slot]), %%rdx\n"
      "xor %%r10d, %%r10d\n"
      "mov %[number], %%eax\n"
      "jmp *%[slot]\n"
      "2:\n"
      : "=&a"(result), "=&d"(rdx), "=&c"(rcx)
      : [slot] "r"(memory), [number] "i"(SYS_clock_nanosleep)
      : "rsi", "rdi", "r10", "r11", "memory", "cc");
  EXPECT_EQ(result, 0U);
  EXPECT_EQ(rdx, own);
  uint64_t written = 0;
  std::memcpy(&written, memory + 14, sizeof written);
  EXPECT_EQ(rcx, written) << "as behind a system call";
  ::munmap(memory, 4096);
}

}  // namespace
}  // namespace time_chaos::tracee
