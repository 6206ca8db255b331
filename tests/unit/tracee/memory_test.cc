// Reading and writing a child's memory, by file and by ptrace.
#include "agent/tracee/memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>

#include "tests/unit/tracee/support.h"

namespace time_chaos::tracee {
namespace {

using test::Child;

// Mapped before the fork, so that the child has it at the same address; read-only there and here.
class MemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    void* pages = ::mmap(nullptr, size_t{3} * 4096, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(pages, MAP_FAILED);
    bytes_ = static_cast<uint8_t*>(pages);
    for (size_t i = 0; i < size_t{2} * 4096; i++) bytes_[i] = static_cast<uint8_t>(i * 7);
    ::mprotect(pages, size_t{2} * 4096, PROT_READ);
    ::mprotect(bytes_ + size_t{2} * 4096, 4096, PROT_NONE);
    address_ = reinterpret_cast<uint64_t>(pages);
  }
  void TearDown() override { ::munmap(bytes_, size_t{3} * 4096); }

  uint8_t* bytes_ = nullptr;
  uint64_t address_ = 0;
};

TEST_F(MemoryTest, ReadsAcrossPages) {
  const Child child;
  const auto memory = Memory::open(child.pid());
  ASSERT_TRUE(memory) << memory.error().line();
  const auto read = memory->read(address_ + 4000, 200);
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(std::memcmp(read->data(), bytes_ + 4000, 200), 0);
  uint64_t wanted = 0;
  std::memcpy(&wanted, bytes_ + 13, sizeof wanted);
  EXPECT_EQ(memory->read_value<uint64_t>(address_ + 13).value(), wanted);
}

TEST_F(MemoryTest, WritesThroughProtectionAndOnlyThere) {
  const Child child;
  auto memory = Memory::open(child.pid());
  ASSERT_TRUE(memory);
  ASSERT_TRUE(memory->write_value(address_ + 4093, uint64_t{0x1122334455667788}));
  EXPECT_EQ(memory->read_value<uint64_t>(address_ + 4093).value(), 0x1122334455667788U);
  EXPECT_EQ(memory->read_value<uint8_t>(address_ + 4092).value(), bytes_[4092]);
  EXPECT_EQ(bytes_[4093], static_cast<uint8_t>(4093 * 7));  // a private copy
}

TEST_F(MemoryTest, WhatIsNotThereIsAnErrorAndNotPresent) {
  const Child child;
  const auto memory = Memory::open(child.pid());
  ASSERT_TRUE(memory);
  EXPECT_TRUE(memory->present(address_));
  EXPECT_FALSE(memory->present(8));
  EXPECT_FALSE(memory->read_value<uint64_t>(8));
  EXPECT_FALSE(memory->read(address_ - 4, 8).has_value() && !memory->present(address_ - 4));
}

TEST_F(MemoryTest, PokesWordsThatAreNotAlignedAndKeepsTheirNeighbours) {
  const Child child;
  auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(thread);
  ASSERT_TRUE(thread->interrupt());
  ASSERT_TRUE(thread->poke(address_ + 16, 0xabcdef));
  EXPECT_EQ(thread->peek(address_ + 16).value(), 0xabcdefU);
  EXPECT_FALSE(thread->peek(8));
  EXPECT_FALSE(thread->poke(8, 1));
}

TEST_F(MemoryTest, AChildThatHasEndedHasNoMemory) {
  Child child;
  auto memory = Memory::open(child.pid());
  ASSERT_TRUE(memory);
  child.end();
  const auto read = memory->read(address_, 8);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind(), Exit::kNoTarget);
  const auto opened = Memory::open(child.pid());
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind(), Exit::kNoTarget) << opened.error().line();
}

}  // namespace
}  // namespace time_chaos::tracee
