// Attach and undo on children of the test: what they read, and that nothing of it is left.
#include "agent/vdso/attach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include <csignal>
#include <cstddef>

#include "agent/vdso/clock_page.h"
#include "tests/unit/vdso/hot_child.h"

namespace time_chaos::vdso {
namespace {

using test::Child;
using test::Counter;
using test::eventually;
using test::FreshChild;
using test::HotChild;
using test::kHour;
using test::Looks;
using test::looks;
using test::Shared;
using test::shift;
using test::undo;
using ::testing::HasSubstr;

class Attached : public ::testing::TestWithParam<Detour> {};

TEST_P(Attached, HotThreadsReadShiftedTimeAndThenTheirOwn) {
  HotChild child(3);
  const Looks before = looks(child.pid());
  ASSERT_FALSE(before.vdso.empty());
  for (int cycle = 0; cycle < 5; cycle++) {
    const auto attached = shift(child.pid(), GetParam());
    ASSERT_TRUE(attached) << attached.error().line();
    ASSERT_TRUE(child.reads(kHour));
    EXPECT_EQ(attached->patches.size(), 3U);
    EXPECT_GT(attached->stopped.count(), 0);
    const bool five = std::any_of(attached->patches.begin(), attached->patches.end(),
                                  [](const auto& patch) { return patch.length == 5; });
    EXPECT_EQ(attached->world_stopped.has_value(), five);
    if (GetParam() == Detour::kFiveByte) {
      EXPECT_TRUE(five);
    }
    const auto found = find_experiment(child.pid());
    ASSERT_TRUE(found && *found);
    EXPECT_EQ((*found)->state, State::kShifted);
    EXPECT_STREQ((*found)->page.experiment, "unit");
    EXPECT_EQ((*found)->code, attached->code);
    EXPECT_EQ(test::tracer_of(child.pid()), 0);

    const auto recovered = undo(child.pid());
    ASSERT_TRUE(recovered) << recovered.error().line();
    EXPECT_TRUE(recovered->bytes_restored);
    EXPECT_TRUE(recovered->unmapped) << recovered->still_mapped_because;
    ASSERT_TRUE(child.reads(0));
    ASSERT_EQ(looks(child.pid()).maps, before.maps);
    ASSERT_EQ(looks(child.pid()).vdso, before.vdso);
  }
  EXPECT_EQ(child->wild, 0U);
}

INSTANTIATE_TEST_SUITE_P(Attach, Attached, ::testing::Values(Detour::kAuto, Detour::kFiveByte),
                         [](const auto& test) {
                           return test.param == Detour::kAuto ? "one_byte" : "five_bytes";
                         });

TEST(Attach, TheClockPageIsFilledIn) {
  HotChild child;
  ASSERT_TRUE(shift(child.pid()));
  const auto found = find_experiment(child.pid());
  ASSERT_TRUE(found && *found);
  const tc_clock_page& page = (*found)->page;
  EXPECT_EQ(page.magic, TC_PAGE_MAGIC);
  EXPECT_EQ(page.version, uint32_t{TC_PAGE_VERSION});
  EXPECT_EQ(page.clocks, clock::ClockSet::wall().bits());
  struct timezone zone {};
  timeval now{};
  ::gettimeofday(&now, &zone);
  EXPECT_EQ(page.tz_minuteswest, zone.tz_minuteswest);
  EXPECT_EQ(clock::maps_in_force(page)[0].fake_sec, kHour);
}

// A child that waits in epoll_wait and counts the times it came back.
TEST(Attach, AThreadInEpollWaitNoticesNothing) {
  Shared<Counter> woken;
  const FreshChild child([&] {
    const int fd = ::epoll_create1(0);
    for (;;) {
      epoll_event event{};
      (void)!::epoll_wait(fd, &event, 1, -1);
      ++*woken;
    }
  });
  const auto asleep = [&] {
    const auto now = targets::read_thread_syscall(child.pid(), child.pid());
    return now && !now->running &&
           (now->number == SYS_epoll_wait || now->number == SYS_epoll_pwait);
  };
  ASSERT_TRUE(eventually(asleep));
  const Looks before = looks(child.pid());
  for (const Detour detour : {Detour::kAuto, Detour::kFiveByte, Detour::kAuto}) {
    const auto attached = shift(child.pid(), detour);
    ASSERT_TRUE(attached) << attached.error().line();
    ASSERT_TRUE(eventually(asleep));
    const auto recovered = undo(child.pid());
    ASSERT_TRUE(recovered) << recovered.error().line();
    EXPECT_TRUE(recovered->unmapped) << recovered->still_mapped_because;
    ASSERT_TRUE(eventually(asleep));
    EXPECT_EQ(looks(child.pid()), before);
  }
  EXPECT_EQ(*woken, 0U);
}

TEST(Attach, AStoppedProcessStaysStoppedAndIsShifted) {
  HotChild child(2);
  const Looks before = looks(child.pid());
  child.child().stop();
  const auto attached = shift(child.pid());
  ASSERT_TRUE(attached) << attached.error().line();
  EXPECT_TRUE(eventually([&] { return test::state_of(child.pid()) == 'T'; }));
  const uint64_t reads = child->reads;
  std::this_thread::sleep_for(test::milliseconds(20));
  EXPECT_EQ(child->reads, reads);
  ::kill(child.pid(), SIGCONT);
  ASSERT_TRUE(child.reads(kHour));
  child.child().stop();
  const auto recovered = undo(child.pid());
  ASSERT_TRUE(recovered) << recovered.error().line();
  EXPECT_TRUE(recovered->bytes_restored);
  EXPECT_TRUE(eventually([&] { return test::state_of(child.pid()) == 'T'; }));
  ::kill(child.pid(), SIGCONT);
  ASSERT_TRUE(child.reads(0));
  if (!recovered->unmapped) {
    // It was stopped while it stood in the code: that stays, until somebody looks again.
    ASSERT_TRUE(undo(child.pid()));
  }
  EXPECT_EQ(looks(child.pid()), before);
  EXPECT_EQ(child->wild, 0U);
}

// Of executable pages, which we need and a sanitizer's runtime, which maps when it likes, does not.
void forbid_mmap() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{6, filter};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(1);
}

TEST(Attach, AFilterThatForbidsOurCallsIsRespected) {
  HotChild child(1, forbid_mmap);
  const Looks before = looks(child.pid());
  const auto attached = shift(child.pid());
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().kind(), Exit::kNotPermitted) << attached.error().line();
  EXPECT_EQ(looks(child.pid()), before);
  EXPECT_TRUE(child.reads(0)) << "alive";
}

TEST(Attach, AFilterCanBeSuspendedForTheMoment) {
  HotChild child(1, forbid_mmap);
  const auto attached = shift(child.pid(), Detour::kAuto, {true, {}});
  if (!attached && !test::may_suspend_filters()) GTEST_SKIP() << attached.error().line();
  ASSERT_TRUE(attached) << attached.error().line();
  EXPECT_TRUE(child.reads(kHour));
  const auto found = find_experiment(child.pid());
  ASSERT_TRUE(found && *found);
  const auto recovered = recover(child.pid(), **found, true);
  ASSERT_TRUE(recovered) << recovered.error().line();
  EXPECT_TRUE(child.reads(0));
}

TEST(Attach, APlanThatHasGrownOldIsRefused) {
  HotChild child;
  auto memory = tracee::Memory::open(child.pid());
  const auto plan = make_plan(child.pid(), *memory, Detour::kAuto);
  ASSERT_TRUE(plan) << plan.error().line();
  ASSERT_TRUE(shift(child.pid()));  // another agent is quicker
  const Looks shifted = looks(child.pid());
  const auto second = attach(child.pid(), *plan, {}, test::hour_ahead(), test::name_it);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), Exit::kFailed) << second.error().line();
  EXPECT_EQ(looks(child.pid()), shifted) << "the first one's work stays";
  EXPECT_TRUE(child.reads(kHour));
}

TEST(Attach, PagesThatAreTakenMeanwhileUndoItAll) {
  // The plan's place for the code page is a mapping of the child's by the time of the attach.
  Shared<std::atomic<uint64_t>> place;
  Shared<std::atomic<bool>> taken;
  const FreshChild child([&] {
    while (*place == 0) ::sched_yield();
    void* const at = reinterpret_cast<void*>(place->load());  // NOLINT
    *taken =
        ::mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at;
  });
  auto memory = tracee::Memory::open(child.pid());
  const auto plan = make_plan(child.pid(), *memory, Detour::kAuto);
  ASSERT_TRUE(plan) << plan.error().line();
  *place = plan->clock_page();
  ASSERT_TRUE(eventually([&] { return taken->load(); }));
  const Looks before = looks(child.pid());
  const auto attached = attach(child.pid(), *plan, {}, test::hour_ahead(), test::name_it);
  ASSERT_FALSE(attached);
  EXPECT_EQ(looks(child.pid()), before) << attached.error().line();
  // Whoever plans anew finds another place.
  EXPECT_EQ(attached.error().error_number(), EEXIST) << attached.error().line();
  const auto again = make_plan(child.pid(), *memory, Detour::kAuto);
  ASSERT_TRUE(again) << again.error().line();
  const auto second = attach(child.pid(), *again, {}, test::hour_ahead(), test::name_it);
  EXPECT_TRUE(second) << second.error().line();
}

TEST(Attach, AUsedEndOfTheVdsoIsRefused) {
  HotChild child;
  auto memory = tracee::Memory::open(child.pid());
  const auto mappings = targets::Mappings::read(child.pid());
  const auto vdso = read_vdso(*mappings, *memory);
  ASSERT_TRUE(vdso);
  ASSERT_TRUE(memory->write_value(vdso->stub.address + 100, uint8_t{1}));
  const Looks before = looks(child.pid());
  const auto attached = shift(child.pid());
  ASSERT_FALSE(attached);
  EXPECT_THAT(attached.error().line(), HasSubstr("end of its vDSO is in use"));
  EXPECT_EQ(looks(child.pid()), before);
}

TEST(Attach, AProcessThatEndsIsNoTarget) {
  Child child;
  auto memory = tracee::Memory::open(child.pid());
  const auto plan = make_plan(child.pid(), *memory, Detour::kAuto);
  ASSERT_TRUE(plan);
  child.end();
  const auto attached = attach(child.pid(), *plan, {}, test::hour_ahead(), test::name_it);
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().kind(), Exit::kNoTarget) << attached.error().line();
}

TEST(Attach, AnotherTracerIsNamed) {
  HotChild child;
  auto memory = tracee::Memory::open(child.pid());
  const auto plan = make_plan(child.pid(), *memory, Detour::kAuto);
  ASSERT_TRUE(plan);
  const auto mine = tracee::SeizedThread::seize(child.pid(), child.pid());
  ASSERT_TRUE(mine);
  const auto attached = attach(child.pid(), *plan, {}, test::hour_ahead(), test::name_it);
  ASSERT_FALSE(attached);
  EXPECT_THAT(attached.error().line(), HasSubstr(std::to_string(::getpid())));
  EXPECT_TRUE(child.reads(0));
}

}  // namespace
}  // namespace time_chaos::vdso
