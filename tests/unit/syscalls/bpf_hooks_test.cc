// Which hooks are taken on which kernel, and what is read of the kernel for it.
#include "agent/syscalls/bpf_hooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace time_chaos::syscalls {
namespace {

using ::testing::HasSubstr;

KernelFacts kernel(int major, int minor, Preemption preemption) {
  return {{major, minor}, preemption, "as the test says"};
}

std::vector<ExitHook> order(const KernelFacts& facts) {
  std::vector<ExitHook> list;
  for (const Hooks& hooks : choose_hooks(facts)) {
    if (list.empty() || list.back() != hooks.exit) list.push_back(hooks.exit);
  }
  return list;
}

using Order = std::vector<ExitHook>;
constexpr auto kReturn = ExitHook::kReturnProbe;
constexpr auto kExit = ExitHook::kFunctionExit;
constexpr auto kTrace = ExitHook::kTracepoint;

TEST(BpfHooks, AreThoseThatLoseNothing) {
  EXPECT_EQ(order(kernel(5, 9, Preemption::kNone)), Order{});
  EXPECT_EQ(order(kernel(5, 10, Preemption::kNone)), Order{kTrace});
  EXPECT_EQ(order(kernel(6, 0, Preemption::kNone)), Order{kTrace});
  EXPECT_EQ(order(kernel(6, 1, Preemption::kNone)), (Order{kExit, kTrace}));
  EXPECT_EQ(order(kernel(6, 1, Preemption::kPossible)), Order{kTrace});
  EXPECT_EQ(order(kernel(6, 12, Preemption::kUnknown)), Order{kTrace});
  EXPECT_EQ(order(kernel(6, 15, Preemption::kPossible)), Order{kTrace});
  EXPECT_EQ(order(kernel(6, 16, Preemption::kPossible)), (Order{kReturn, kTrace}));
  EXPECT_EQ(order(kernel(7, 3, Preemption::kNone)), (Order{kReturn, kExit, kTrace}));
}

TEST(BpfHooks, SayWhereTheyAreLossyAfterAll) {
  const auto lossy = [](const KernelFacts& facts) { return choose_hooks(facts).back().lossy; };
  EXPECT_FALSE(lossy(kernel(5, 10, Preemption::kUnknown)));
  EXPECT_FALSE(lossy(kernel(7, 1, Preemption::kPossible)));
  EXPECT_TRUE(lossy(kernel(7, 2, Preemption::kPossible)));
  EXPECT_TRUE(lossy(kernel(7, 2, Preemption::kUnknown)));
  EXPECT_FALSE(lossy(kernel(7, 2, Preemption::kNone)));
}

TEST(BpfHooks, DoWithoutThirtyTwoBitCallsWhereThereAreNone) {
  const auto list = choose_hooks(kernel(6, 18, Preemption::kPossible));
  ASSERT_GE(list.size(), 2U);
  EXPECT_TRUE(list[0].ia32);
  EXPECT_FALSE(list[1].ia32);
  EXPECT_EQ(list[1].exit, kReturn);
}

TEST(BpfHooks, SayWhy) {
  EXPECT_THAT(choose_hooks(kernel(6, 1, Preemption::kNone))[0].why, HasSubstr("as the test says"));
}

TEST(KernelRelease, IsTwoNumbers) {
  EXPECT_EQ(*parse_release("6.1.0-18-amd64"), (KernelVersion{6, 1}));
  EXPECT_EQ(*parse_release("7.3.4+deb13-cloud-amd64"), (KernelVersion{7, 3}));
  EXPECT_EQ(*parse_release("6.18"), (KernelVersion{6, 18}));
  EXPECT_EQ(*parse_release("6.20-rc1"), (KernelVersion{6, 20}));
  for (const char* text : {"", "6", "six.one", ".1", "6."})
    EXPECT_FALSE(parse_release(text)) << text;
  EXPECT_LT((KernelVersion{6, 9}), (KernelVersion{6, 16}));
}

TEST(PreemptionMode, IsTheOneInParentheses) {
  EXPECT_EQ(chosen_mode("none voluntary (full) lazy\n"), "full");
  EXPECT_EQ(chosen_mode("(none) voluntary full\n"), "none");
  EXPECT_EQ(chosen_mode("none voluntary full"), "");
  EXPECT_EQ(chosen_mode("(none"), "");
}

TEST(PreemptionMode, OfTheCommandLineIsTheLastOne) {
  EXPECT_EQ(boot_mode("quiet preempt=none preempt=full ro\n"), "full");
  EXPECT_EQ(boot_mode("nopreempt=full"), "");
  EXPECT_EQ(boot_mode(""), "");
}

TEST(PreemptionMode, TellsWhetherTasksArePreempted) {
  EXPECT_EQ(preemption_of("none"), Preemption::kNone);
  EXPECT_EQ(preemption_of("voluntary"), Preemption::kNone);
  EXPECT_EQ(preemption_of("lazy"), Preemption::kPossible);
  EXPECT_EQ(preemption_of("full"), Preemption::kPossible);
  EXPECT_EQ(preemption_of("sometimes"), Preemption::kUnknown);
}

TEST(KernelFacts, OfThisMachine) {
  const auto facts = read_kernel_facts();
  ASSERT_TRUE(facts) << facts.error().line();
  EXPECT_GE(facts->version.major, 5);
  if (facts->preemption != Preemption::kUnknown) {
    EXPECT_NE(facts->preemption_source, "");
  }
}

}  // namespace
}  // namespace time_chaos::syscalls
