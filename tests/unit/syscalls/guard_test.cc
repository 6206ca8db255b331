// Calls that would set the machine's clock. None of these tests can: each call is one that the
// kernel refuses anyway, with another error.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <optional>
#include <random>

#include "target.h"

namespace time_chaos::testing {
namespace {

constexpr int64_t kBad = 8;  // nothing is mapped there
constexpr int64_t kNoClock = 1000;

// In the order of Shared::values. An address above 4 GiB would be cut off in a call of 32 bits.
struct Calls {
  int64_t number, a, b;
  int unshifted;  // what the kernel says
};
constexpr Calls kSettings[] = {
    {SYS_clock_settime, kNoClock, kBad, EINVAL},
    {SYS_settimeofday, kBad, 0, EFAULT},
    {SYS_settimeofday, 0, kBad, EFAULT},
};

// A filter with that answer for any number above 1000, -1 included.
void filter_unknown_calls(uint32_t answer) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 1000, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{4, filter};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

void call_all(Shared& shared, size_t at) {
  for (const Calls& call : kSettings) shared.values[at++] = raw_call(call.number, call.a, call.b);
  timex adjust{};
  adjust.modes = ADJ_TICK;  // of a length that is out of range
  const auto buffer = reinterpret_cast<int64_t>(&adjust);
  shared.values[at++] = raw_call(SYS_adjtimex, buffer);
  shared.values[at++] = raw_call(SYS_clock_adjtime, kNoClock, buffer);
  // Reads.
  adjust = {};
  shared.values[at++] = raw_call(SYS_adjtimex, buffer) >= 0 ? 1 : 0;
  adjust = {};
  adjust.modes = ADJ_OFFSET_SS_READ;
  shared.values[at++] = raw_call(SYS_clock_adjtime, CLOCK_REALTIME, buffer) >= 0 ? 1 : 0;
  shared.values[at++] = raw_call(SYS_adjtimex, kBad);
}

// What call_all() leaves, unshifted and shifted.
void expect(const Shared& shared, size_t at, bool followed) {
  for (const Calls& call : kSettings) {
    EXPECT_EQ(shared.values[at++], followed ? -EPERM : -call.unshifted) << call.number;
  }
  // EPERM as well without CAP_SYS_TIME: the engine's count tells who refused.
  const int64_t adjtimex = shared.values[at++];
  EXPECT_TRUE(adjtimex == -EPERM || (!followed && adjtimex == -EINVAL)) << adjtimex;
  EXPECT_EQ(shared.values[at++], followed ? -EPERM : -EINVAL) << "clock_adjtime";
  EXPECT_EQ(shared.values[at++], 1) << "adjtimex that reads";
  EXPECT_EQ(shared.values[at++], 1) << "clock_adjtime that reads";
  EXPECT_EQ(shared.values[at++], -EFAULT);
}

void check(std::optional<uint32_t> filter) {
  constexpr size_t kAfter = 16;
  SharedMemory shared;
  Target target([&] {
    if (filter) filter_unknown_calls(*filter);
    call_all(shared.get(), 0);
    shared->ready = 1;
    while (shared->phase == 0) ::usleep(1000);
    call_all(shared.get(), kAfter);
    // The registers of a refused call are as the program left them.
    int64_t first = kBad;
    int64_t result = 0;
    asm volatile("syscall"
                 : "=a"(result), "+D"(first)
                 : "a"(SYS_settimeofday), "S"(0)
                 : "rcx", "r11", "memory");
    shared->values[40] = result;
    shared->values[41] = first;
    shared->done = 1;
    return ::pause();
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 1; }));
  expect(shared.get(), 0, false);
  auto engine = start(target.pid());
  shared->phase = 1;
  ASSERT_TRUE(eventually([&] { return shared->done == 1; }));
  expect(shared.get(), kAfter, true);
  EXPECT_EQ(shared->values[40], -EPERM);
  EXPECT_EQ(shared->values[41], kBad);
  EXPECT_EQ(engine->counters(target.pid()).refused, 6U);
  engine->stop();
}

TEST(PtraceGuard, SettingAClockIsRefused) {
  check(std::nullopt);
}

TEST(PtraceGuard, SettingAClockIsRefusedUnderAFilterThatKillsForUnknownCalls) {
  check(SECCOMP_RET_KILL_PROCESS);
}

TEST(PtraceGuard, SettingAClockIsRefusedUnderAFilterWithAnErrorForUnknownCalls) {
  check(SECCOMP_RET_ERRNO | EBADF);
}

// A tracer that is killed in the middle of a refusal leaves nothing behind but the call's result.
void kill_at_refusals(std::optional<uint32_t> filter) {
  SharedMemory shared;
  Target target([&] {
    if (filter) filter_unknown_calls(*filter);
    shared->ready = 1;
    while (!shared->quit) {
      int64_t first = kBad;
      int64_t second = 0;
      int64_t result = 0;
      asm volatile("syscall"
                   : "=a"(result), "+D"(first), "+S"(second)
                   : "a"(SYS_settimeofday)
                   : "rcx", "r11", "memory");
      shared->values[result == -EPERM ? 0 : 1]++;
      if (first != kBad || second != 0) shared->values[2]++;
      // 0: a call that does nothing was made instead.
      const bool known = result == -EPERM || result == -EFAULT || result == -EBADF || result == 0;
      if (!known) shared->values[3]++;
    }
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 1; }));
  std::mt19937 random(1);
  std::uniform_int_distribution<useconds_t> moment(0, 2'000);
  for (int i = 0; i < 150; i++) {
    const int64_t refused = shared->values[0];
    const pid_t agent = fork_agent(target.pid());
    ASSERT_GE(agent, 0);
    ASSERT_TRUE(eventually([&] { return shared->values[0] > refused; })) << "round " << i;
    ::usleep(moment(random));
    ::kill(agent, SIGKILL);
    ASSERT_EQ(::waitpid(agent, nullptr, 0), agent);
  }
  shared->quit = true;
  EXPECT_EQ(target.wait(), 0);
  EXPECT_EQ(shared->values[2], 0) << "registers";
  EXPECT_EQ(shared->values[3], 0) << "results";
}

TEST(PtraceGuard, KilledInTheMiddle) {
  kill_at_refusals(std::nullopt);
}

TEST(PtraceGuard, KilledInTheMiddleUnderAFilter) {
  kill_at_refusals(SECCOMP_RET_ERRNO | EBADF);
}

TEST(PtraceGuard, KilledInTheMiddleUnderAFilterThatKills) {
  kill_at_refusals(SECCOMP_RET_KILL_PROCESS);
}

}  // namespace
}  // namespace time_chaos::testing
