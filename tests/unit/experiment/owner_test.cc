// Who a clock page says owns it, and whether that one still lives.
#include "agent/experiment/owner.h"

#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "agent/targets/process.h"
#include "tests/unit/targets/child.h"

namespace time_chaos::experiment {
namespace {

TEST(Owner, IsWhoSigned) {
  tc_clock_page page{};
  EXPECT_FALSE(living_owner(page));
  sign(page);
  EXPECT_EQ(living_owner(page), ::getpid());
  unsign(page);
  EXPECT_FALSE(living_owner(page));
  EXPECT_EQ(page.owner_pid, 0U);
  EXPECT_EQ(page.owner_start, 0U);
  EXPECT_EQ(page.owner_pidns, 0U);
}

TEST(Owner, IsNotSomebodyElseWithItsPid) {
  tc_clock_page page{};
  sign(page);
  page.owner_start++;
  EXPECT_FALSE(living_owner(page));
}

TEST(Owner, OfAnotherPidNamespaceIsUnknown) {
  tc_clock_page page{};
  sign(page);
  page.owner_pidns++;
  EXPECT_FALSE(living_owner(page));
}

TEST(Owner, ThatHasEndedIsNone) {
  time_chaos::testing::Child child;
  tc_clock_page page{};
  sign(page);
  page.owner_pid = static_cast<uint32_t>(child.pid());
  page.owner_start = targets::read_start_time(child.pid()).value();
  EXPECT_EQ(living_owner(page), child.pid());
  child.end();
  EXPECT_FALSE(living_owner(page));
}

TEST(Owner, WhoHasEndedAbandonedItsExperiment) {
  time_chaos::testing::Child child;
  tc_clock_page page{};
  EXPECT_FALSE(abandoned(page));
  page.experiment[0] = 'x';
  EXPECT_FALSE(abandoned(page)) << "detached";
  sign(page);
  EXPECT_FALSE(abandoned(page)) << "we live";
  page.owner_pid = static_cast<uint32_t>(child.pid());
  page.owner_start = targets::read_start_time(child.pid()).value();
  EXPECT_FALSE(abandoned(page)) << "it lives";
  child.end();
  EXPECT_TRUE(abandoned(page));
  page.owner_pidns++;
  EXPECT_FALSE(abandoned(page)) << "elsewhere: nobody can tell";
  page.owner_pidns--;
  page.experiment[0] = '\0';
  EXPECT_FALSE(abandoned(page)) << "recovered";
}

enum Answer { kAbandoned, kHeld, kSeen, kImpossible };

int in_child(const std::function<Answer()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return kImpossible;
  return WEXITSTATUS(status);
}

// Asked by a user who sees his own processes only, in a pid namespace, whose /proc is its own.
// Does not return where it could ask.
Answer ask_who_sees_nothing(bool owner_lives) {
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("proc", "/proc", "proc", 0, "hidepid=2") != 0) {
    return kImpossible;
  }
  time_chaos::testing::Child owner;
  tc_clock_page page{};
  page.experiment[0] = 'x';
  sign(page);
  page.owner_pid = static_cast<uint32_t>(owner.pid());
  page.owner_start = targets::read_start_time(owner.pid()).value();
  if (!owner_lives) owner.end();
  constexpr uid_t kNobody = 65534;
  if (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
      ::setresuid(kNobody, kNobody, kNobody) != 0) {
    ::_exit(kImpossible);
  }
  // Not its destructors': who is nobody cannot end the owner. The namespace ends with us.
  if (targets::read_start_time(owner.pid())) ::_exit(kSeen);
  ::_exit(abandoned(page) ? kAbandoned : kHeld);
}

TEST(Owner, WhoIsHiddenLives) {
  const auto ask = [](bool owner_lives) {
    return in_child([&] {
      if (::unshare(CLONE_NEWNS | CLONE_NEWPID) != 0) return kImpossible;
      return static_cast<Answer>(in_child([&] { return ask_who_sees_nothing(owner_lives); }));
    });
  };
  const int answer = ask(true);
  if (answer == kImpossible || answer == kSeen) GTEST_SKIP() << "nothing can be hidden here";
  EXPECT_EQ(answer, kHeld);
  EXPECT_EQ(ask(false), kAbandoned);
}

TEST(Owner, LeavesTheRestOfThePageAlone) {
  tc_clock_page page{};
  page.clocks = 3;
  page.latch = 5;
  page.experiment[0] = 'x';
  sign(page);
  unsign(page);
  EXPECT_EQ(page.clocks, 3U);
  EXPECT_EQ(page.latch, 5U);
  EXPECT_EQ(page.experiment[0], 'x');
}

}  // namespace
}  // namespace time_chaos::experiment
