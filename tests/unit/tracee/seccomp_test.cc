// The interpreter of seccomp filters on filters made by hand, and on one that the kernel gives
// back.
#include "agent/tracee/seccomp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <thread>

#include "tests/unit/tracee/support.h"

namespace time_chaos::tracee {
namespace {

using Filter = std::vector<FilterInstruction>;
using ::testing::HasSubstr;

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t kKill = SECCOMP_RET_KILL_PROCESS;

FilterInstruction op(int code, uint32_t k, uint8_t jump_true = 0, uint8_t jump_false = 0) {
  return {static_cast<uint16_t>(code), jump_true, jump_false, k};
}
FilterInstruction load(size_t offset) {
  return op(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset));
}
FilterInstruction immediate(uint32_t k) {
  return op(BPF_LD | BPF_IMM, k);
}
FilterInstruction answer(uint32_t k) {
  return op(BPF_RET | BPF_K, k);
}
FilterInstruction answer_a() {
  return op(BPF_RET | BPF_A, 0);
}

constexpr size_t kNumber = offsetof(seccomp_data, nr);
constexpr size_t low(size_t argument) {
  return offsetof(seccomp_data, args) + argument * sizeof(uint64_t);
}

PlannedCall mmap_call() {
  return {SYS_mmap,
          {0x7f0011112222, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0xffffffffffffffff, 0},
          0x7fff12345678,
          "mmap"};
}

uint32_t answer_of(const Filter& filter, const PlannedCall& call = mmap_call()) {
  const auto answer = evaluate(filter, call);
  EXPECT_TRUE(answer) << answer.error().line();
  return answer.value_or(0xdeadU);
}

TEST(Evaluate, AnswersWhatItReturns) {
  for (const uint32_t action : {uint32_t{SECCOMP_RET_ALLOW}, uint32_t{SECCOMP_RET_KILL_THREAD},
                                uint32_t{SECCOMP_RET_KILL_PROCESS}, SECCOMP_RET_ERRNO | EPERM,
                                uint32_t{SECCOMP_RET_TRAP}}) {
    EXPECT_EQ(answer_of({answer(action)}), action);
  }
  EXPECT_EQ(answer_of({immediate(kAllow), answer_a()}), kAllow);
}

TEST(Evaluate, ReadsEveryFieldOfTheCall) {
  const PlannedCall call = mmap_call();
  EXPECT_EQ(answer_of({load(kNumber), answer_a()}), uint32_t{SYS_mmap});
  EXPECT_EQ(answer_of({load(offsetof(seccomp_data, arch)), answer_a()}),
            uint32_t{AUDIT_ARCH_X86_64});
  const size_t ip = offsetof(seccomp_data, instruction_pointer);
  EXPECT_EQ(answer_of({load(ip), answer_a()}), 0x12345678U);
  EXPECT_EQ(answer_of({load(ip + 4), answer_a()}), 0x7fffU);
  for (size_t i = 0; i < 6; i++) {
    EXPECT_EQ(answer_of({load(low(i)), answer_a()}), static_cast<uint32_t>(call.arguments[i])) << i;
    EXPECT_EQ(answer_of({load(low(i) + 4), answer_a()}),
              static_cast<uint32_t>(call.arguments[i] >> 32))
        << i;
  }
}

TEST(Evaluate, JumpsOnComparisons) {
  struct Case {
    int comparison;
    uint32_t a, k;
    bool holds;
  };
  for (const Case& c :
       {Case{BPF_JEQ, 5, 5, true}, Case{BPF_JEQ, 5, 6, false}, Case{BPF_JGT, 6, 5, true},
        Case{BPF_JGT, 5, 5, false}, Case{BPF_JGT, 0x80000000, 1, true},  // unsigned
        Case{BPF_JGE, 5, 5, true}, Case{BPF_JGE, 4, 5, false}, Case{BPF_JSET, 6, 4, true},
        Case{BPF_JSET, 6, 9, false}}) {
    const Filter by_constant = {immediate(c.a), op(BPF_JMP | c.comparison | BPF_K, c.k, 1, 0),
                                answer(kKill), answer(kAllow)};
    EXPECT_EQ(answer_of(by_constant) == kAllow, c.holds) << c.comparison << " " << c.a;
    const Filter by_x = {immediate(c.k), op(BPF_MISC | BPF_TAX, 0),
                         immediate(c.a), op(BPF_JMP | c.comparison | BPF_X, 0, 0, 1),
                         answer(kAllow), answer(kKill)};
    EXPECT_EQ(answer_of(by_x) == kAllow, c.holds) << c.comparison << " " << c.a << " x";
  }
}

TEST(Evaluate, JumpsAlways) {
  EXPECT_EQ(answer_of({op(BPF_JMP | BPF_JA, 2), answer(1), answer(2), answer(3)}), 3U);
  EXPECT_EQ(answer_of({op(BPF_JMP | BPF_JA, 0), answer(1)}), 1U);
}

TEST(Evaluate, Calculates) {
  struct Case {
    int operation;
    uint32_t a, k, result;
  };
  for (const Case& c : {Case{BPF_ADD, 0xffffffff, 2, 1}, Case{BPF_SUB, 1, 2, 0xffffffff},
                        Case{BPF_MUL, 7, 6, 42}, Case{BPF_DIV, 42, 5, 8},
                        Case{BPF_AND, 0xff0, 0x0ff, 0x0f0}, Case{BPF_OR, 0xf00, 0x00f, 0xf0f},
                        Case{BPF_XOR, 0xff, 0x0f, 0xf0}, Case{BPF_LSH, 1, 31, 0x80000000},
                        Case{BPF_RSH, 0x80000000, 31, 1}, Case{BPF_NEG, 1, 0, 0xffffffff}}) {
    EXPECT_EQ(answer_of({immediate(c.a), op(BPF_ALU | c.operation | BPF_K, c.k), answer_a()}),
              c.result)
        << c.operation;
    if (c.operation == BPF_NEG) continue;  // takes no operand
    EXPECT_EQ(answer_of({immediate(c.k), op(BPF_MISC | BPF_TAX, 0), immediate(c.a),
                         op(BPF_ALU | c.operation | BPF_X, 0), answer_a()}),
              c.result)
        << c.operation << " x";
  }
}

// As the kernel does it: a shift by a register counts modulo 32, and a division by a register that
// is 0 ends the filter with 0, which kills the thread (net/core/filter.c, bpf_convert_filter).
TEST(Evaluate, ShiftsAndDividesByARegisterAsTheKernelDoes) {
  const auto by_x = [](int operation, uint32_t a, uint32_t x) {
    return Filter{immediate(x),
                  op(BPF_MISC | BPF_TAX, 0),
                  immediate(a),
                  op(BPF_ALU | operation | BPF_X, 0),
                  op(BPF_ALU | BPF_OR | BPF_K, kAllow),
                  answer_a()};
  };
  EXPECT_EQ(answer_of(by_x(BPF_LSH, 1, 33)), kAllow | 2U);
  EXPECT_EQ(answer_of(by_x(BPF_RSH, 4, 34)), kAllow | 1U);
  EXPECT_EQ(answer_of(by_x(BPF_DIV, 4, 0)), uint32_t{SECCOMP_RET_KILL_THREAD});
}

TEST(Evaluate, HasScratchMemoryAndTwoRegisters) {
  // M[3] = 7 (from A), M[15] = 9 (from X), A = M[3], X = M[15], A += X
  EXPECT_EQ(
      answer_of({immediate(7), op(BPF_ST, 3), immediate(9), op(BPF_MISC | BPF_TAX, 0),
                 op(BPF_STX, 15), immediate(0), op(BPF_MISC | BPF_TAX, 0), op(BPF_LD | BPF_MEM, 3),
                 op(BPF_LDX | BPF_MEM, 15), op(BPF_ALU | BPF_ADD | BPF_X, 0), answer_a()}),
      16U);
  EXPECT_EQ(answer_of({op(BPF_LDX | BPF_IMM, 5), op(BPF_MISC | BPF_TXA, 0), answer_a()}), 5U);
  EXPECT_EQ(answer_of({op(BPF_LD | BPF_W | BPF_LEN, 0), answer_a()}), sizeof(seccomp_data));
  EXPECT_EQ(answer_of({op(BPF_LDX | BPF_W | BPF_LEN, 0), op(BPF_MISC | BPF_TXA, 0), answer_a()}),
            sizeof(seccomp_data));
}

TEST(Evaluate, RefusesWhatSeccompDoesNotHave) {
  const FilterInstruction bad[] = {
      op(BPF_LD | BPF_W | BPF_IND, 0),   // relative to X
      op(BPF_LD | BPF_B | BPF_ABS, 0),   // bytes
      op(BPF_LD | BPF_H | BPF_ABS, 0),   // half words
      op(BPF_LDX | BPF_B | BPF_MSH, 0),  // IP header length
      op(BPF_ALU | 0x90 | BPF_K, 3),     // modulo
      op(BPF_JMP | 0x50, 0),             // no such jump
      op(BPF_RET | BPF_X, 0),            // X is no answer
      op(BPF_MISC | 0x40, 0),            // no such move
      load(sizeof(seccomp_data)),        // behind the data
      load(sizeof(seccomp_data) - 3),
      load(2),                   // not aligned
      op(BPF_LD | BPF_MEM, 16),  // there are 16 words
      op(BPF_ST, 16),
      op(0xffff, 0),
  };
  for (const FilterInstruction& instruction : bad) {
    const auto result = evaluate(Filter{instruction, answer(kAllow)}, mmap_call());
    EXPECT_EQ(result ? Exit::kOk : result.error().kind(), Exit::kFailed)
        << instruction.code << " " << instruction.k;
  }
}

TEST(Evaluate, RefusesAFilterWithoutAnAnswer) {
  EXPECT_FALSE(evaluate(Filter{}, mmap_call()));
  EXPECT_FALSE(evaluate(Filter{immediate(1)}, mmap_call()));
  EXPECT_FALSE(evaluate(Filter{op(BPF_JMP | BPF_JA, 0xffffffff), answer(kAllow)}, mmap_call()));
}

// Children that install a filter before anything else.
sock_filter deny(uint32_t action, int number, int step) {
  switch (step) {
    case 0:
      return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumber);
    case 1:
      return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(number), 0, 1);
    case 2:
      return BPF_STMT(BPF_RET | BPF_K, action);
    default:
      return BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
}
void install(uint32_t action, int number) {
  sock_filter filter[4];
  for (int i = 0; i < 4; i++) filter[i] = deny(action, number, i);
  const sock_fprog program{4, filter};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(1);
}

class RealFilter : public ::testing::Test {
 protected:
  // What check_allowed says about a child that runs `body` first.
  Status check(const std::function<void()>& body) {
    const test::Child child(body);
    auto thread = SeizedThread::seize(child.pid(), child.pid());
    if (!thread) return fail(thread.error());
    TC_CHECK(thread->interrupt());
    TC_TRY(const auto status, targets::read_status(child.pid()));
    const PlannedCall calls[] = {{SYS_munmap, {}, 0, "munmap"}, mmap_call()};
    if (auto filters = read_filters(*thread)) {
      filters_ = *filters;
    } else if (status.seccomp_mode == 2) {
      return fail(filters.error());
    }
    return check_allowed(*thread, status.seccomp_mode, calls);
  }
  std::vector<Filter> filters_;
};

#define SKIP_WITHOUT_FILTERS(status)                                                             \
  if (!(status) && (status).error().line().find("read the seccomp filter") != std::string::npos) \
  GTEST_SKIP() << (status).error().line()

TEST_F(RealFilter, NamesTheCallThatItForbids) {
  const auto status = check([] { install(SECCOMP_RET_ERRNO | EACCES, SYS_mmap); });
  SKIP_WITHOUT_FILTERS(status);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind(), Exit::kNotPermitted);
  EXPECT_THAT(status.error().line(), HasSubstr("would fail it with errno 13 at mmap"));
  EXPECT_THAT(status.error().remedy(), HasSubstr("--force"));
  ASSERT_EQ(filters_.size(), 1U);
  ASSERT_EQ(filters_[0].size(), 4U);
  for (int i = 0; i < 4; i++) {
    const sock_filter wanted = deny(SECCOMP_RET_ERRNO | EACCES, SYS_mmap, i);
    const FilterInstruction& got = filters_[0][static_cast<size_t>(i)];
    EXPECT_EQ(got.code, wanted.code) << i;
    EXPECT_EQ(got.k, wanted.k) << i;
    EXPECT_EQ(got.jump_true, wanted.jt) << i;
    EXPECT_EQ(got.jump_false, wanted.jf) << i;
  }
}

TEST_F(RealFilter, EveryFilterCounts) {
  const auto status = check([] {
    install(SECCOMP_RET_KILL_PROCESS, SYS_munmap);
    install(SECCOMP_RET_KILL_THREAD, SYS_vmsplice);
  });
  SKIP_WITHOUT_FILTERS(status);
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().line(), HasSubstr("would kill the process at munmap"));
  EXPECT_EQ(filters_.size(), 2U);
}

TEST_F(RealFilter, LetsPassWhatItDoesNotForbid) {
  const auto status = check([] { install(SECCOMP_RET_KILL_PROCESS, SYS_vmsplice); });
  SKIP_WITHOUT_FILTERS(status);
  EXPECT_TRUE(status) << status.error().line();
}

TEST_F(RealFilter, LoggingIsPassing) {
  const auto status = check([] { install(SECCOMP_RET_LOG, SYS_mmap); });
  SKIP_WITHOUT_FILTERS(status);
  EXPECT_TRUE(status) << status.error().line();
}

TEST_F(RealFilter, NoSeccompIsNoQuestion) {
  EXPECT_TRUE(check([] {}));
}

TEST_F(RealFilter, StrictModeIsRefused) {
  const test::Child child;
  const auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(thread);
  const auto status = check_allowed(*thread, 1, {});
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error().line(), HasSubstr("strict seccomp"));
}

TEST(SuspendFilters, LetsTheCallThroughWhileTheTracerLives) {
  // The child calls getppid, which its filter answers with EACCES, for ever.
  test::Shared<test::Counter> denied;
  test::Shared<test::Counter> allowed;
  const test::Child child(
      [&] {
        install(SECCOMP_RET_ERRNO | EACCES, SYS_getppid);
        for (;;) ++(::syscall(SYS_getppid) > 0 ? *allowed : *denied);
      },
      test::Child::Ready::kAtOnce);
  ASSERT_TRUE(test::eventually([&] { return *denied > 0; }));
  auto thread = SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(thread);
  ASSERT_TRUE(thread->interrupt());
  const auto suspended = suspend_filters(*thread);
  if (!suspended && !test::may_suspend_filters()) GTEST_SKIP() << suspended.error().line();
  ASSERT_TRUE(suspended) << suspended.error().line();
  ASSERT_TRUE(thread->resume());
  EXPECT_TRUE(test::advances(*allowed));
  ASSERT_TRUE(thread->interrupt());
  ASSERT_TRUE(thread->detach());
  EXPECT_TRUE(test::advances(*denied));
}

// As an agent in a container has it: under a filter of its own the kernel shows it none of others,
// and suspends none.
TEST(ForceThrough, TriesWhatItCanNeitherReadNorSuspend) {
  const test::Child child([] { install(SECCOMP_RET_KILL_PROCESS, SYS_vmsplice); });
  std::thread([&child] {
    install(SECCOMP_RET_ERRNO | EACCES, SYS_vmsplice);  // of this thread
    auto thread = SeizedThread::seize(child.pid(), child.pid());
    ASSERT_TRUE(thread) << thread.error().line();
    ASSERT_TRUE(thread->interrupt());
    const PlannedCall calls[] = {mmap_call()};
    const auto careful = check_allowed(*thread, 2, calls);
    ASSERT_FALSE(careful);
    EXPECT_THAT(careful.error().line(), HasSubstr("cannot be read"));
    EXPECT_THAT(careful.error().remedy(), HasSubstr("--force"));
    EXPECT_TRUE(force_through(*thread, 2, calls));
    EXPECT_FALSE(force_through(*thread, 1, calls));  // strict: it would kill for certain
  }).join();
}

}  // namespace
}  // namespace time_chaos::tracee
