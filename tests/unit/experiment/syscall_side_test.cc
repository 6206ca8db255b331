// Which engine is chosen for raw system calls.
#include "agent/experiment/syscall_side.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace time_chaos::experiment {
namespace {

using ::testing::HasSubstr;

ShiftRequest with(SyscallEngine engine) {
  ShiftRequest request;
  request.syscalls = engine;
  return request;
}

TEST(SyscallChoice, IsWhatTheUserSays) {
  const auto off = SyscallSide::begin(with(SyscallEngine::kOff), 1);
  ASSERT_TRUE(off) << off.error().line();
  EXPECT_EQ(off->choice().engine, RawCalls::kUntouched);
  EXPECT_FALSE(off->choice().by_itself);
  EXPECT_FALSE(off->place(0));
  EXPECT_TRUE(off->engines().empty());
  const auto ptrace = SyscallSide::begin(with(SyscallEngine::kPtrace), 1);
  ASSERT_TRUE(ptrace);
  EXPECT_EQ(ptrace->choice().engine, RawCalls::kPtrace);
  EXPECT_FALSE(ptrace->choice().by_itself);
}

TEST(SyscallChoice, IsForeseen) {
  for (const auto engine : {SyscallEngine::kAuto, SyscallEngine::kBpf, SyscallEngine::kPtrace}) {
    const auto side = SyscallSide::begin(with(engine), 1);
    const auto foreseen = SyscallSide::foresee(with(engine));
    ASSERT_EQ(side.has_value(), foreseen.has_value());
    if (!side) continue;
    EXPECT_EQ(foreseen->engine, side->choice().engine);
    EXPECT_EQ(foreseen->why, side->choice().why);
    EXPECT_EQ(foreseen->hooks, side->choice().hooks);
  }
}

// On any machine: BPF, or a reason why not.
TEST(SyscallChoice, LeftToUsHasAReason) {
  const auto side = SyscallSide::begin(with(SyscallEngine::kAuto), 2);
  ASSERT_TRUE(side) << side.error().line();
  EXPECT_TRUE(side->choice().by_itself);
  EXPECT_NE(side->choice().why, "");
  const auto insisting = SyscallSide::begin(with(SyscallEngine::kBpf), 2);
  if (side->choice().engine == RawCalls::kBpf) {
    ASSERT_TRUE(insisting) << insisting.error().line();
    EXPECT_NE(side->choice().hooks, "");
    ASSERT_TRUE(side->place(1));
    EXPECT_EQ(side->place(1)->page, 1U);
    EXPECT_EQ(side->engines().size(), 1U);
  } else {
    EXPECT_EQ(side->choice().engine, RawCalls::kPtrace);
    ASSERT_FALSE(insisting);
    EXPECT_THAT(insisting.error().line(), HasSubstr("--engine-syscalls bpf"));
    EXPECT_NE(insisting.error().remedy(), "");
  }
}

TEST(SyscallChoice, IsNeverPtraceWithoutAnAgent) {
  ShiftRequest request = with(SyscallEngine::kAuto);
  request.detach = true;
  const auto side = SyscallSide::begin(request, 1);
  ASSERT_TRUE(side) << side.error().line();
  EXPECT_NE(side->choice().engine, RawCalls::kPtrace);
  if (side->choice().engine == RawCalls::kBpf) return;
  request.detour = vdso::Detour::kNone;
  const auto nothing = SyscallSide::begin(request, 1);
  ASSERT_FALSE(nothing);
  EXPECT_THAT(nothing.error().line(), HasSubstr("leaves no engine"));
}

// Where children are to be left alone somebody must give them their clock back.
TEST(SyscallChoice, WithoutChildrenIsPtraceOrARefusal) {
  ShiftRequest request = with(SyscallEngine::kAuto);
  request.children = false;
  const auto choice = SyscallSide::foresee(request);
  ASSERT_TRUE(choice) << choice.error().line();
  EXPECT_EQ(choice->engine, RawCalls::kPtrace);
  EXPECT_THAT(choice->why, HasSubstr("--no-children"));
  const auto refused = [](ShiftRequest no_children) {
    no_children.children = false;
    const auto none = SyscallSide::foresee(no_children);
    return !none && none.error().kind() == Exit::kUsage && !none.error().remedy().empty();
  };
  EXPECT_TRUE(refused(with(SyscallEngine::kBpf)));
  EXPECT_TRUE(refused(with(SyscallEngine::kOff)));
  request.detach = true;
  EXPECT_TRUE(refused(request));
  request.detach = false;
  request.clocks.clocks = clock::ClockSet::monotonic_family();
  EXPECT_TRUE(refused(request));
}

}  // namespace
}  // namespace time_chaos::experiment
