// Process, lists and names, on processes that the test makes.
#include "agent/targets/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <string>
#include <thread>
#include <utility>

#include "child.h"

namespace time_chaos::targets {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Not;

TEST(Process, OpensAProcess) {
  const testing::Child child([] { ::prctl(PR_SET_NAME, "a) R 1 (\x1b[b"); });
  const auto process = Process::open(child.pid());
  ASSERT_TRUE(process) << process.error().line();
  EXPECT_EQ(process->pid(), child.pid());
  EXPECT_EQ(process->name(), "a) R 1 (\x1b[b");
  EXPECT_EQ(process->label(), std::to_string(child.pid()) + " (a) R 1 (?[b)");
  EXPECT_EQ(process->start_time(), read_start_time(child.pid()).value_or(0));
  EXPECT_GT(process->start_time(), 0u);
  EXPECT_TRUE(process->alive());
  EXPECT_NE(::fcntl(process->pidfd(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(Process, StartTimesAscend) {
  EXPECT_GE(read_start_time(testing::Child().pid()).value_or(1), 1u);
  const testing::Child child;
  EXPECT_GE(read_start_time(child.pid()).value_or(0), read_start_time(::getpid()).value_or(~0u));
}

TEST(Process, AStoppedProcessIsAlive) {
  testing::Child child;
  const auto process = Process::open(child.pid());
  ASSERT_TRUE(process);
  child.stop();
  EXPECT_EQ(read_status(child.pid())->state, 'T');
  EXPECT_TRUE(process->alive());
}

TEST(Process, AZombieIsNotAliveButOpens) {
  testing::Child child;
  const auto before = Process::open(child.pid());
  ASSERT_TRUE(before);
  child.become_zombie();
  EXPECT_FALSE(before->alive());
  const auto after = Process::open(child.pid());
  ASSERT_TRUE(after) << after.error().line();
  EXPECT_FALSE(after->alive());
  const auto status = read_status(child.pid());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->state, 'Z');
  EXPECT_TRUE(status->no_memory);
}

TEST(Process, AReapedProcessIsGone) {
  testing::Child child;
  const auto process = Process::open(child.pid());
  ASSERT_TRUE(process);
  child.end();
  EXPECT_FALSE(process->alive());
  const auto again = Process::open(child.pid());
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind(), Exit::kNoTarget);
  EXPECT_EQ(again.error().line(), "no process " + std::to_string(child.pid()));
  EXPECT_TRUE(list_threads(child.pid()).empty());
}

// Above the largest pid the kernel ever gives (PID_MAX_LIMIT, 4194304).
TEST(Process, NumbersThatAreNoProcess) {
  const auto none = Process::open(std::numeric_limits<pid_t>::max());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind(), Exit::kNoTarget);
  EXPECT_EQ(none.error().line(), "no process 2147483647");
  for (const pid_t pid : {0, -1}) {
    const auto wrong = Process::open(pid);
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().kind(), Exit::kUsage);
  }
}

// Threads of this test process: asked by id, and listed.
TEST(Process, AThreadIsNotAProcess) {
  int hold[2];
  ASSERT_EQ(::pipe(hold), 0);
  int tell[2];
  ASSERT_EQ(::pipe(tell), 0);
  std::thread thread([&] {
    const auto tid = static_cast<pid_t>(::syscall(SYS_gettid));
    (void)!::write(tell[1], &tid, sizeof(tid));
    char byte = 0;
    (void)!::read(hold[0], &byte, 1);
  });
  pid_t tid = 0;
  EXPECT_EQ(::read(tell[0], &tid, sizeof(tid)), static_cast<ssize_t>(sizeof(tid)));

  const auto opened = Process::open(tid);
  const std::string own = std::to_string(::getpid());
  EXPECT_FALSE(opened);
  if (!opened) {
    EXPECT_EQ(opened.error().kind(), Exit::kNoTarget);
    EXPECT_EQ(opened.error().line(),
              std::to_string(tid) + " is a thread of " + own + "; use --pid " + own);
  }
  const auto threads = list_threads(::getpid());
  EXPECT_THAT(threads, Contains(tid));
  EXPECT_THAT(threads, Contains(::getpid()));
  EXPECT_TRUE(std::is_sorted(threads.begin(), threads.end()));
  EXPECT_THAT(list_processes(), Not(Contains(tid)));
  const auto status = read_thread_status(::getpid(), tid);
  EXPECT_TRUE(status && status->pid == tid && status->tgid == ::getpid() && status->threads >= 2);

  (void)!::write(hold[1], "", 1);
  thread.join();
  const auto gone = read_thread_status(::getpid(), tid);
  EXPECT_FALSE(gone);
  if (!gone) {
    EXPECT_EQ(gone.error().kind(), Exit::kNoTarget);
    EXPECT_EQ(gone.error().line(), "no thread " + std::to_string(tid) + " in process " + own);
  }
  for (const int fd : {hold[0], hold[1], tell[0], tell[1]}) ::close(fd);
}

TEST(Process, ListsProcesses) {
  const testing::Child child;
  const auto processes = list_processes();
  EXPECT_THAT(processes, Contains(child.pid()));
  EXPECT_THAT(processes, Contains(::getpid()));
  EXPECT_TRUE(std::is_sorted(processes.begin(), processes.end()));
}

TEST(Process, SaysWhereAThreadSleeps) {
  const testing::Child child;
  // The child tells that it is ready just before it goes to sleep.
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto call = read_thread_syscall(child.pid(), child.pid());
    ASSERT_TRUE(call) << call.error().line();
    if (!call->running && call->number == SYS_pause) {
      EXPECT_NE(call->instruction_pointer, 0u);
      return;
    }
    ::usleep(10000);
  }
  FAIL() << "not seen in pause(2) within 2 s";
}

TEST(Process, RunTimeGrowsOnlyWhileRunning) {
  const auto before = read_run_time(::getpid(), ::getpid());
  if (!before) GTEST_SKIP() << "this kernel does not count it (no CONFIG_SCHED_INFO)";
  // Counted when the thread leaves its CPU or a tick comes: at the latest some ticks from now.
  bool grew = false;
  for (int i = 0; i < 100'000 && !grew; i++) {
    (void)list_processes();
    grew = read_run_time(::getpid(), ::getpid()).value_or(0) > *before;
  }
  EXPECT_TRUE(grew);
  testing::Child child;
  child.stop();
  // Its parent hears of the stop before the child has left its CPU.
  auto stopped = read_run_time(child.pid(), child.pid());
  EXPECT_TRUE(stopped);
  const auto goes_on = [&] {
    ::usleep(20000);
    const auto last = std::exchange(stopped, read_run_time(child.pid(), child.pid()));
    return stopped != last;
  };
  for (int i = 0; i < 100 && goes_on(); i++) {
  }
  EXPECT_FALSE(goes_on());
  child.end();
  EXPECT_FALSE(read_run_time(child.pid(), child.pid()));
}

TEST(FindByName, ComparesWhatTheKernelKeeps) {
  // 15 bytes are kept: "tc-test-long-na"; the pid makes it this run's own.
  const std::string tag = "(" + std::to_string(::getpid() % 100000) + ")";
  const std::string name = (tag + " long name of a test").substr(0, 15);
  testing::Child child([&] { ::prctl(PR_SET_NAME, name.c_str()); });
  EXPECT_THAT(find_by_name(tag + " long name of a test"), ElementsAre(child.pid()));
  EXPECT_THAT(find_by_name(name), ElementsAre(child.pid()));
  EXPECT_TRUE(find_by_name(name.substr(0, 14)).empty());
  EXPECT_TRUE(find_by_name("").empty());
  child.become_zombie();
  EXPECT_TRUE(find_by_name(name).empty());
}

TEST(FindByName, LeavesOutTheAgent) {
  const testing::Child twin;  // has our name
  const auto own = read_status(::getpid());
  ASSERT_TRUE(own);
  const auto found = find_by_name(own->name);
  EXPECT_THAT(found, Contains(twin.pid()));
  EXPECT_THAT(found, Each(Not(::getpid())));
}

}  // namespace
}  // namespace time_chaos::targets
