// The auxiliary vector of a new program, on stacks that this process lays out in its own memory.
#include "agent/tracee/hidden_vdso.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

namespace time_chaos::tracee {
namespace {

constexpr uint64_t kVdso = 0x7ffd1000;

template <typename Word>
std::vector<Word> stack_of(size_t arguments, size_t variables, const std::vector<Word>& vector) {
  std::vector<Word> stack{static_cast<Word>(arguments)};
  stack.insert(stack.end(), arguments, Word{0x1111});
  stack.push_back(0);
  stack.insert(stack.end(), variables, Word{0x2222});
  stack.push_back(0);
  stack.insert(stack.end(), vector.begin(), vector.end());
  return stack;
}

template <typename Word>
Registers at(const std::vector<Word>& stack) {
  Registers registers;
  registers.raw.rsp = reinterpret_cast<uint64_t>(stack.data());
  registers.raw.cs = sizeof(Word) == 4 ? 0x23 : 0x33;
  return registers;
}

Memory own_memory() {
  auto memory = Memory::open(::getpid());
  if (!memory) throw std::runtime_error(memory.error().line());
  return std::move(*memory);
}

// Whatever the number of arguments and variables: 3,000 variables are more than is read at once.
TEST(HiddenVdso, OnlyItsEntryChanges) {
  for (const size_t variables : {0, 1, 511, 512, 3000}) {
    const std::vector<uint64_t> vector{AT_PAGESZ, 4096, AT_SYSINFO_EHDR, kVdso, AT_UID, 7, 0, 0};
    const auto before = stack_of<uint64_t>(2, variables, vector);
    auto stack = before;
    Memory memory = own_memory();
    const auto hidden = hide_vdso(memory, at(stack), 4242);
    ASSERT_TRUE(hidden) << hidden.error().line();
    EXPECT_TRUE(*hidden);
    const size_t entry = before.size() - 6;
    EXPECT_EQ(stack[entry], static_cast<uint64_t>(AT_IGNORE));
    EXPECT_NE(stack[entry + 1], kVdso);
    EXPECT_EQ(read_mark(memory, at(stack).sp()), 4242);
    stack[entry] = before[entry];
    stack[entry + 1] = before[entry + 1];
    EXPECT_EQ(stack, before);
  }
}

TEST(HiddenVdso, Of32BitProgramsTheWayIntoTheKernelAsWell) {
  const std::vector<uint32_t> vector{AT_SYSINFO, 0xf7fc, AT_SYSINFO_EHDR, 0xf7fb, AT_UID, 7, 0, 0};
  const auto before = stack_of<uint32_t>(1, 3, vector);
  auto stack = before;
  Memory memory = own_memory();
  const auto hidden = hide_vdso(memory, at(stack), 77);
  ASSERT_TRUE(hidden) << hidden.error().line();
  EXPECT_TRUE(*hidden);
  const size_t entry = before.size() - 8;
  EXPECT_EQ(stack[entry], static_cast<uint32_t>(AT_IGNORE));
  EXPECT_EQ(stack[entry + 2], static_cast<uint32_t>(AT_IGNORE));
  EXPECT_EQ(stack[entry + 4], static_cast<uint32_t>(AT_UID));
  EXPECT_EQ(read_mark(memory, at(stack).sp()), 77);
}

TEST(HiddenVdso, AKernelWithoutOne) {
  const auto before = stack_of<uint64_t>(1, 3, {AT_PAGESZ, 4096, AT_UID, 7, 0, 0});
  auto stack = before;
  Memory memory = own_memory();
  const auto hidden = hide_vdso(memory, at(stack), 1);
  ASSERT_TRUE(hidden) << hidden.error().line();
  EXPECT_FALSE(*hidden);
  EXPECT_EQ(stack, before);
  EXPECT_FALSE(read_mark(memory, at(stack).sp()).has_value());
}

TEST(HiddenVdso, AnIgnoredEntryOfSomebodyElseIsNoMark) {
  const auto stack = stack_of<uint64_t>(1, 1, {AT_IGNORE, 5, AT_IGNORE, uint64_t{5} << 32, 0, 0});
  EXPECT_FALSE(read_mark(own_memory(), at(stack).sp()).has_value());
}

TEST(HiddenVdso, AStackThatCannotBeReadIsAnError) {
  Memory memory = own_memory();
  Registers registers;
  registers.raw.rsp = 4096;
  EXPECT_FALSE(hide_vdso(memory, registers, 1).has_value());
}

}  // namespace
}  // namespace time_chaos::tracee
