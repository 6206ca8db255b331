// The parts that need no process.
#include "agent/syscalls/shift_call.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "agent/syscalls/needless_eintr.h"
#include "agent/syscalls/recent_writes.h"

namespace time_chaos::syscalls {
namespace {

TEST(ReadingBehindTime, IsWithinTheSecondThatWasReturned) {
  EXPECT_EQ(reading_behind_time(100, {100, 250}), (clock::Reading{100, 250}));
  EXPECT_EQ(reading_behind_time(100, {101, 4'000'000}), (clock::Reading{100, 999'999'999}));
  EXPECT_EQ(reading_behind_time(100, {99, 5}), (clock::Reading{100, 0}));  // set back meanwhile
}

TEST(RecentWrites, KnowsWhatWasWrittenSinceTheCallBegan) {
  RecentWrites writes;
  const uint64_t early = writes.count();
  writes.note(0x1000, {7, 8});
  EXPECT_TRUE(writes.ours(0x1000, {7, 8}, early));
  EXPECT_FALSE(writes.ours(0x1000, {7, 9}, early));
  EXPECT_FALSE(writes.ours(0x1008, {7, 8}, early));
  EXPECT_FALSE(writes.ours(0x1000, {7, 8}, writes.count())) << "a call that began afterwards";
  for (int i = 0; i < 63; i++) writes.note(0x2000, {i, 0});
  EXPECT_TRUE(writes.ours(0x1000, {7, 8}, early));
  writes.note(0x2000, {63, 0});
  EXPECT_FALSE(writes.ours(0x1000, {7, 8}, early)) << "only so many are kept";
}

TEST(IgnoredSignals, ThoseByDispositionAndThoseByDefaultUnlessCaught) {
  const auto bit = [](int signal) { return uint64_t{1} << (signal - 1); };
  targets::ProcStatus status;
  status.ignored = bit(SIGPIPE);
  status.caught = bit(SIGCHLD) | bit(SIGUSR1);
  const uint64_t ignored = ignored_signals(status);
  EXPECT_TRUE(ignored & bit(SIGPIPE));
  EXPECT_TRUE(ignored & bit(SIGURG));
  EXPECT_TRUE(ignored & bit(SIGWINCH));
  EXPECT_FALSE(ignored & bit(SIGCHLD));
  EXPECT_FALSE(ignored & bit(SIGUSR1));
  EXPECT_FALSE(ignored & bit(SIGTERM));
  EXPECT_FALSE(ignored & bit(SIGSTOP));
}

}  // namespace
}  // namespace time_chaos::syscalls
