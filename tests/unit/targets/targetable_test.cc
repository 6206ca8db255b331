// What may never be a target, each case on a process that the test makes; the machine's init and a
// kernel thread are only looked at.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "agent/targets/process.h"
#include "child.h"

namespace time_chaos::targets {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Error refusal(pid_t pid, pid_t allowed_tracer = 0) {
  const auto process = Process::open(pid);
  if (!process) return process.error().because_of("open failed");
  const Status status = check_targetable(*process, allowed_tracer);
  return status ? Error(Exit::kOk, "") : status.error();
}

std::string own_name() {
  return read_status(::getpid())->name;
}

// The calling thread is traced by the thread that made its process.
void be_traced() {
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
}

TEST(Targetable, AnOrdinaryProcessAndAStoppedOne) {
  testing::Child child;
  EXPECT_EQ(refusal(child.pid()).line(), "");
  child.stop();
  EXPECT_EQ(refusal(child.pid()).line(), "");
}

TEST(Targetable, NotTheAgentItself) {
  const Error error = refusal(::getpid());
  EXPECT_EQ(error.kind(), Exit::kUsage);
  EXPECT_THAT(error.message(), HasSubstr("cannot shift itself"));
}

TEST(Targetable, NotTheMachinesInit) {
  if (pid_namespace_inode(::getpid()).value_or(0) != kInitialPidNamespace) {
    GTEST_SKIP() << "not in the initial pid namespace: pid 1 is a container's";
  }
  const Error error = refusal(1);
  EXPECT_EQ(error.kind(), Exit::kNotPermitted);
  EXPECT_THAT(error.line(), StartsWith("1 ("));
  EXPECT_THAT(error.line(), EndsWith(") is the machine's own init; a container's pid 1 may be "
                                     "shifted, this one may not"));
}

// Runs in a pid namespace of its own, as its pid 2, with a /proc of its own: what becomes of pid 1?
// The exit code of the check's error, or kCannot.
constexpr int kCannot = 99;
int check_pid_one_from_inside() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return kCannot;
  if (::mount("proc", "/proc", "proc", 0, nullptr) != 0) return kCannot;
  return static_cast<int>(refusal(1).kind());
}

int exit_code_of(pid_t pid) {
  int status = 0;
  return ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : kCannot;
}

TEST(Targetable, AContainersInitIsOrdinary) {
  const pid_t outer = ::fork();
  if (outer == 0) {
    if (::unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) ::_exit(kCannot);
    int result = kCannot;
    {
      const testing::Child init;  // the first child in the namespace is its pid 1
      const pid_t second = ::fork();
      if (second == 0) ::_exit(check_pid_one_from_inside());
      result = exit_code_of(second);
    }
    ::_exit(result);
  }
  const int result = exit_code_of(outer);
  if (result == kCannot) GTEST_SKIP() << "may not make a pid namespace here";
  EXPECT_EQ(result, static_cast<int>(Exit::kOk));
}

TEST(Targetable, NotAKernelThread) {
  pid_t kernel_thread = 0;
  for (const pid_t pid : list_processes()) {
    if (is_kernel_thread(pid).value_or(false)) {
      kernel_thread = pid;
      break;
    }
  }
  if (kernel_thread == 0) GTEST_SKIP() << "no kernel thread in sight (a container)";
  const Error error = refusal(kernel_thread);
  EXPECT_EQ(error.kind(), Exit::kUnsupported);
  EXPECT_THAT(error.message(), HasSubstr(") is a kernel thread and has no clock of its own"));
  EXPECT_FALSE(is_kernel_thread(::getpid()).value_or(true));
}

TEST(Targetable, NotAZombie) {
  testing::Child child;
  child.become_zombie();
  const Error error = refusal(child.pid());
  EXPECT_EQ(error.kind(), Exit::kNoTarget);
  EXPECT_EQ(error.message(), std::to_string(child.pid()) + " (" + own_name() +
                                 ") is a zombie: it has exited and waits to be reaped by its "
                                 "parent " +
                                 std::to_string(::getpid()));
}

TEST(Targetable, NotAProcessThatEndedAfterItWasOpened) {
  testing::Child child;
  const auto process = Process::open(child.pid());
  ASSERT_TRUE(process);
  child.end();
  const Status status = check_targetable(*process);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().kind(), Exit::kNoTarget);
  EXPECT_THAT(status.error().message(), EndsWith(" has exited"));
}

TEST(Targetable, NotATracedProcessUnlessByTheAllowedTracer) {
  const testing::Child child(be_traced);
  const Error error = refusal(child.pid());
  EXPECT_EQ(error.kind(), Exit::kNotPermitted);
  EXPECT_EQ(error.line(), "cannot shift " + std::to_string(child.pid()) + " (" + own_name() +
                              "): already traced by " + own_name() + " (pid " +
                              std::to_string(::getpid()) + "); detach it and try again");
  EXPECT_EQ(refusal(child.pid(), ::getpid()).line(), "");
  EXPECT_EQ(refusal(child.pid(), child.pid()).kind(), Exit::kNotPermitted);
}

// The kernel shows the id of the tracing thread; messages and `allowed_tracer` mean the process.
TEST(Targetable, NamesTheProcessOfATracingThread) {
  std::promise<pid_t> made;
  std::promise<void> done;
  std::thread tracer([&] {
    ::prctl(PR_SET_NAME, "another-name");
    const testing::Child child(be_traced);
    made.set_value(child.pid());
    done.get_future().wait();
  });
  const pid_t pid = made.get_future().get();
  EXPECT_NE(read_status(pid)->tracer, ::getpid()) << "the test no longer tests anything";
  EXPECT_THAT(refusal(pid).line(),
              HasSubstr("by " + own_name() + " (pid " + std::to_string(::getpid()) + ")"));
  EXPECT_EQ(refusal(pid, ::getpid()).line(), "");
  done.set_value();
  tracer.join();
}

// A tracer of another thread than the main one counts as well.
TEST(Targetable, SeesATracerOfAnyThread) {
  const testing::Child child([] {
    std::promise<void> traced;
    std::thread([&] {
      be_traced();
      traced.set_value();
      for (;;) ::pause();
    }).detach();
    traced.get_future().wait();
  });
  ASSERT_EQ(read_status(child.pid())->tracer, 0) << "the test no longer tests anything";
  EXPECT_EQ(refusal(child.pid()).kind(), Exit::kNotPermitted);
}

TEST(Targetable, NotAProcessWithoutItsMainThread) {
  const testing::Child child(
      [] {
        std::thread([] {
          for (;;) ::pause();
        }).detach();
        ::syscall(SYS_exit, 0);  // this thread alone
      },
      testing::Child::Ready::kAtOnce);
  while (read_status(child.pid())->state != 'Z') ::usleep(1000);
  const auto process = Process::open(child.pid());
  ASSERT_TRUE(process) << process.error().line();
  EXPECT_TRUE(process->alive());
  const Error error = refusal(child.pid());
  EXPECT_EQ(error.kind(), Exit::kUnsupported);
  EXPECT_THAT(error.message(), HasSubstr("without its main thread"));
}

}  // namespace
}  // namespace time_chaos::targets
