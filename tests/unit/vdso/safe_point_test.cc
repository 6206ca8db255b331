// In which calls a thread may be made to call its loader.
#include "agent/vdso/safe_point.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>

#include "agent/tracee/session.h"
#include "tests/unit/targets/child.h"
#include "tests/unit/tracee/support.h"

namespace time_chaos::vdso {
namespace {

using testing::Child;

TEST(SafePoint, CallsOfLoadersAndAllocatorsAreNone) {
  for (const int64_t call : {SYS_openat, SYS_mmap, SYS_mprotect, SYS_munmap, SYS_brk, SYS_close,
                             SYS_fstat, SYS_sched_yield, SYS_madvise, SYS_write, SYS_flock}) {
    EXPECT_FALSE(wait_of(call, 0)) << call;
  }
}

TEST(SafePoint, AFutexIsOneOnlyAsConditionsUseIt) {
  EXPECT_FALSE(wait_of(SYS_futex, FUTEX_WAIT));
  EXPECT_FALSE(wait_of(SYS_futex, FUTEX_WAIT_PRIVATE));
  EXPECT_FALSE(wait_of(SYS_futex, FUTEX_LOCK_PI_PRIVATE));
  EXPECT_EQ(wait_of(SYS_futex, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME), Wait::kCondition);
  EXPECT_EQ(wait_of(SYS_futex, FUTEX_WAIT_BITSET), Wait::kCondition);
}

TEST(SafePoint, WhatIsHarmlessDependsOnWhoElseWaitsSo) {
  Loader glibc;
  glibc.apart = true;
  Loader musl;
  Loader own_allocator = glibc;
  own_allocator.foreign_allocator = true;
  for (const Loader* loader : {&glibc, &musl, &own_allocator}) {
    EXPECT_TRUE(is_harmless(*wait_of(SYS_poll, 0), *loader));
  }
  EXPECT_TRUE(is_harmless(Wait::kRead, glibc));
  EXPECT_TRUE(is_harmless(Wait::kCondition, glibc));
  EXPECT_TRUE(is_harmless(Wait::kSleep, musl));
  EXPECT_FALSE(is_harmless(Wait::kRead, musl));
  EXPECT_FALSE(is_harmless(Wait::kCondition, musl));
  EXPECT_FALSE(is_harmless(Wait::kSleep, own_allocator));
  EXPECT_FALSE(is_harmless(Wait::kCondition, own_allocator));
}

// Found at a thread that waits, which goes on waiting.
TEST(SafePoint, IsFoundWhereAThreadWaits) {
  const Child child([] { ::poll(nullptr, 0, -1); }, Child::Ready::kAtOnce);
  const auto memory = tracee::Memory::open(child.pid());
  ASSERT_TRUE(memory);
  const auto loader = find_loader(child.pid(), *memory);
  ASSERT_TRUE(loader) << loader.error().line();
  const Status found = tracee::in_session([&]() -> Status {
    TC_TRY(SafePoint point, find_safe_point(child.pid(), *memory, *loader,
                                            [](tracee::SeizedThread&) { return Status(); }));
    EXPECT_EQ(point.thread.tid(), child.pid());
    EXPECT_TRUE(point.registers.restarting());
    EXPECT_EQ(point.registers.call(), SYS_poll);
    return point.thread.detach();
  });
  EXPECT_TRUE(found) << found.error().line();
  const auto status = targets::read_status(child.pid());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->tracer, 0);
}

// What the caller objects to is the answer, and nobody stays stopped.
TEST(SafePoint, MayBeRefusedByTheCaller) {
  const Child child([] { ::poll(nullptr, 0, -1); }, Child::Ready::kAtOnce);
  const auto memory = tracee::Memory::open(child.pid());
  ASSERT_TRUE(memory);
  const auto loader = find_loader(child.pid(), *memory);
  ASSERT_TRUE(loader);
  const Status refused = tracee::in_session([&]() -> Status {
    TC_TRY(SafePoint point,
           find_safe_point(child.pid(), *memory, *loader, [](tracee::SeizedThread&) -> Status {
             return fail(Exit::kNotPermitted, "no");
           }));
    return point.thread.detach();
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), Exit::kNotPermitted);
  const auto asleep = [&] {
    const auto stat = targets::read_stat(child.pid());
    return stat && stat->state == 'S';
  };
  EXPECT_TRUE(test::eventually(asleep));
}

}  // namespace
}  // namespace time_chaos::vdso
