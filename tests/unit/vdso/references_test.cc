// Who stands in some code, or will come back to it: words on stacks, and stacks behind signals.
#include "agent/vdso/references.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <array>
#include <csignal>

#include "agent/tracee/session.h"
#include "tests/unit/tracee/support.h"

namespace time_chaos::vdso {
namespace {

using test::Child;
using test::eventually;
using test::Shared;

// Nothing is ever mapped there; the tests only speak of it.
constexpr uint64_t kCode = 0x123456789000;
const Ranges kRanges = {{0x111111111000, 0x1000}, {kCode, 0x1000}};

// A word in the frame of whoever has it; gone with the frame.
class OnStack {
 public:
  explicit OnStack(uint64_t word) : word_(word) { keep(); }
  OnStack(const OnStack&) = delete;
  OnStack& operator=(const OnStack&) = delete;
  OnStack(OnStack&&) = delete;
  OnStack& operator=(OnStack&&) = delete;
  ~OnStack() {
    word_ = 0;
    keep();
  }

 private:
  void keep() { asm volatile("" ::"r"(&word_) : "memory"); }
  uint64_t word_;
};

// A stack by hand: pages that a child inherits at the same address.
class HandMade : public ::testing::Test {
 protected:
  static constexpr size_t kWords = size_t{2} * 4096 / 8;
  void SetUp() override {
    void* pages = ::mmap(nullptr, size_t{3} * 4096, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(pages, MAP_FAILED);
    ::mprotect(static_cast<uint8_t*>(pages) + size_t{2} * 4096, 4096, PROT_NONE);  // where it ends
    words_ = static_cast<uint64_t*>(pages);
  }
  void TearDown() override { ::munmap(words_, size_t{3} * 4096); }

  bool refers(uint64_t ip, size_t sp_word, uint64_t depth = kMostStack) {
    const Child child;
    const auto memory = tracee::Memory::open(child.pid());
    return refers_to(*memory, ip, at(sp_word), kRanges, depth);
  }
  [[nodiscard]] uint64_t at(size_t word) const { return reinterpret_cast<uint64_t>(words_ + word); }

  uint64_t* words_ = nullptr;
};

TEST_F(HandMade, AnInstructionPointerInside) {
  EXPECT_FALSE(refers(kCode - 1, 0));
  EXPECT_TRUE(refers(kCode, 0));
  EXPECT_TRUE(refers(kCode + 0xfff, 0));
  EXPECT_FALSE(refers(kCode + 0x1000, 0));
  EXPECT_TRUE(refers(0x111111111000, 0));
}

TEST_F(HandMade, AWordAnywhereAboveTheStackPointer) {
  for (const size_t word : {size_t{4}, size_t{511}, size_t{512}, kWords - 1}) {
    words_[word] = kCode + 5;
    EXPECT_TRUE(refers(0, 0)) << word;
    EXPECT_TRUE(refers(0, word)) << word;
    if (word + 1 < kWords) {
      EXPECT_FALSE(refers(0, word + 1)) << "below the stack pointer";
    }
    words_[word] = 0;
  }
  EXPECT_FALSE(refers(0, 0));
}

TEST_F(HandMade, OnlyAsDeepAsAsked) {
  words_[600] = kCode;
  EXPECT_TRUE(refers(0, 0, 8192));
  EXPECT_FALSE(refers(0, 0, 4096));
}

TEST_F(HandMade, BytesThatAreNoAlignedWordDoNotCount) {
  words_[10] = kCode << 32;
  words_[11] = kCode >> 32;
  EXPECT_FALSE(refers(0, 0));
}

TEST_F(HandMade, AStackPointerThatPointsNowhereIsAnEmptyStack) {
  const Child child;
  const auto memory = tracee::Memory::open(child.pid());
  EXPECT_FALSE(refers_to(*memory, 0, 8, kRanges, kMostStack));
  EXPECT_TRUE(refers_to(*memory, kCode, 8, kRanges, kMostStack));
}

TEST_F(HandMade, ASignalFrameLeadsToTheStackItInterrupted) {
  // A frame at the bottom of the second page; the word is on the first, below it.
  words_[20] = kCode + 1;
  words_[600] = at(10);  // rsp, rip, rflags, segments
  words_[601] = 0x401000;
  words_[602] = 0x246;
  EXPECT_FALSE(refers(0, 590));
  words_[603] = 0x002b000000000033;
  EXPECT_TRUE(refers(0, 590));
  words_[20] = 0;
  EXPECT_FALSE(refers(0, 590));
  words_[601] = kCode + 7;  // the signal came while the thread stood in the code
  EXPECT_TRUE(refers(0, 590));
}

TEST_F(HandMade, FramesThatLeadInACircleEnd) {
  for (const size_t word : {600U, 700U, 800U}) {
    words_[word] = at(word == 800U ? 590 : word - 10);
    words_[word + 1] = 0x401000;
    words_[word + 3] = 0x002b000000000033;
  }
  EXPECT_FALSE(refers(0, 590));
}

// The same answers for many stacks at once.
TEST_F(HandMade, ManyStacksAtOnce) {
  words_[5] = kCode + 3;
  words_[40] = at(600);  // a signal frame; the word is on the stack that it leads to
  words_[41] = 0x401000;
  words_[43] = 0x002b000000000033;
  words_[610] = kCode;
  const uint64_t end = at(2 * 512);
  const std::vector<Stack> stacks = {
      {at(0), at(30)},        // the word itself
      {at(6), at(30)},        // above it
      {at(30), at(60)},       // the frame
      {at(800), end},         // nothing
      {at(800), end + 4096},  // nothing, and it ends before it should
      {at(0), 0},             // of unknown end
      {at(710), end},         // nothing, behind one that could not be read whole
  };
  const Child child;
  const auto memory = tracee::Memory::open(child.pid());
  std::vector<uint64_t> room(3);
  EXPECT_THAT(referring(*memory, stacks, kRanges, 30 * sizeof(uint64_t), room),
              ::testing::ElementsAre(0, 2, 5));
  EXPECT_THAT(referring(*memory, {}, kRanges, kMostStack, room), ::testing::IsEmpty());
}

// The real thing: a handler on a stack of its own waits; the stack that it interrupted holds a
// word.
TEST(References, AHandlerOnItsOwnStackHidesNothing) {
  Shared<std::atomic<bool>> handling;
  static std::atomic<bool>* flag = nullptr;
  flag = &*handling;
  const Child child(
      [&] {
        static std::array<uint8_t, 65536> stack;
        const stack_t own{stack.data(), 0, stack.size()};
        ::sigaltstack(&own, nullptr);
        struct sigaction action {};
        action.sa_flags = SA_ONSTACK;
        action.sa_handler = [](int) {
          *flag = true;
          for (;;) ::pause();
        };
        ::sigaction(SIGUSR1, &action, nullptr);
        const OnStack word(kCode + 0x123);
        ::raise(SIGUSR1);
      },
      Child::Ready::kAtOnce);
  ASSERT_TRUE(eventually([&] { return *handling && test::sleeps_in(child.pid(), SYS_pause); }));
  const auto call = targets::read_thread_syscall(child.pid(), child.pid());
  ASSERT_TRUE(call);
  const auto memory = tracee::Memory::open(child.pid());
  EXPECT_TRUE(
      refers_to(*memory, call->instruction_pointer, call->stack_pointer, kRanges, kMostStack));
  EXPECT_FALSE(refers_to(*memory, call->instruction_pointer, call->stack_pointer,
                         {{kCode + 0x124, 16}}, kMostStack));
}

Status check(pid_t pid, const Ranges& ranges) {
  return tracee::in_session([&]() -> Status {
    TC_TRY(const auto memory, tracee::Memory::open(pid));
    return check_unreferenced(pid, memory, ranges);
  });
}

TEST(CheckUnreferenced, ThreadsAsleepAndBusyAreClean) {
  Shared<test::Counter> counter;
  const Child child([&] { std::thread([&] { test::count_for_ever(*counter); }).detach(); });
  ASSERT_TRUE(test::advances(*counter));
  const auto clean = check(child.pid(), kRanges);
  EXPECT_TRUE(clean) << clean.error().line();
  EXPECT_TRUE(test::advances(*counter));
  EXPECT_EQ(test::tracer_of(child.pid()), 0);
}

// A busy thread that stands in the code now and elsewhere a moment later is waited for.
TEST(CheckUnreferenced, WaitsForAThreadThatLeaves) {
  Shared<test::Counter> rounds;
  Shared<std::atomic<bool>> leave;
  const Child child(
      [&] {
        {
          const OnStack word(kCode);
          while (!*leave) ++*rounds;
        }
        for (;;) ++*rounds;
      },
      Child::Ready::kAtOnce);
  ASSERT_TRUE(test::advances(*rounds));
  std::thread later([&] {
    std::this_thread::sleep_for(test::milliseconds(30));
    *leave = true;
  });
  const auto clean = check(child.pid(), kRanges);
  later.join();
  EXPECT_TRUE(clean) << clean.error().line();
}

TEST(CheckUnreferenced, NamesTheThreadThatStays) {
  Shared<test::Counter> counter;
  const Child child(
      [&] {
        const OnStack word(kCode);
        test::count_for_ever(*counter);
      },
      Child::Ready::kAtOnce);
  ASSERT_TRUE(test::advances(*counter));
  const auto clean = check(child.pid(), kRanges);
  ASSERT_FALSE(clean);
  EXPECT_EQ(clean.error().kind(), Exit::kFailed);
  EXPECT_THAT(clean.error().line(), ::testing::HasSubstr("thread " + std::to_string(child.pid())));
  EXPECT_TRUE(test::advances(*counter)) << "it runs on";
}

TEST(CheckUnreferenced, OnlyOneThreadIfAsked) {
  Shared<test::Counter> counter;
  const Child child(
      [&] {
        std::thread([&] {
          const OnStack word(kCode);
          test::count_for_ever(*counter);
        }).detach();
        for (;;) ::pause();
      },
      Child::Ready::kAtOnce);
  ASSERT_TRUE(test::advances(*counter));
  const auto clean = tracee::in_session([&]() -> Status {
    TC_TRY(const auto memory, tracee::Memory::open(child.pid()));
    return check_unreferenced(child.pid(), memory, kRanges, child.pid());
  });
  EXPECT_TRUE(clean) << clean.error().line();
}

}  // namespace
}  // namespace time_chaos::vdso
