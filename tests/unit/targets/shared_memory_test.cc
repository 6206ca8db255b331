// Who has the memory of whom: a child that was forked has its own, one that was cloned with
// CLONE_VM does not.
#include "agent/targets/shared_memory.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace time_chaos::targets {
namespace {

int pause_for_ever(void*) {
  for (;;) ::pause();
}

void end(pid_t pid) {
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

TEST(SharedMemory, IsThatOfAVforkChild) {
  EXPECT_FALSE(find_memory_sharer(::getpid()));
  alignas(16) static std::array<uint8_t, 16384> stack;
  const pid_t child =
      ::clone(pause_for_ever, stack.data() + stack.size(), CLONE_VM | SIGCHLD, nullptr);
  ASSERT_GT(child, 0);
  EXPECT_EQ(find_memory_sharer(::getpid()), child);
  EXPECT_EQ(find_memory_sharer(child), ::getpid());
  end(child);
  EXPECT_FALSE(find_memory_sharer(::getpid()));
}

TEST(SharedMemory, IsNotThatOfAForkedChild) {
  const pid_t child = ::fork();
  if (child == 0) pause_for_ever(nullptr);
  ASSERT_GT(child, 0);
  EXPECT_FALSE(find_memory_sharer(::getpid()));
  end(child);
}

}  // namespace
}  // namespace time_chaos::targets
