// A program that is stopped before its first instruction, and whether tracing is possible at all.
#include "agent/tracee/spawn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>

#include "agent/base/files.h"
#include "agent/tracee/try_ptrace.h"
#include "tests/unit/tracee/support.h"

namespace time_chaos::tracee {
namespace {

using ::testing::HasSubstr;

sigset_t no_signals() {
  sigset_t set;
  sigemptyset(&set);
  return set;
}

// Kills and reaps it, however the test ends.
class Spawned {
 public:
  explicit Spawned(const std::vector<std::string>& command, const sigset_t& mask = no_signals())
      : pid_(spawn_stopped(command, mask)) {}
  Spawned(const Spawned&) = delete;
  Spawned& operator=(const Spawned&) = delete;
  Spawned(Spawned&&) = delete;
  Spawned& operator=(Spawned&&) = delete;
  ~Spawned() {
    if (!pid_ || reaped_) return;
    ::kill(*pid_, SIGKILL);
    ::waitpid(*pid_, nullptr, 0);
  }
  [[nodiscard]] const Result<pid_t>& pid() const { return pid_; }
  int go_on_to_its_end() {
    ::kill(*pid_, SIGCONT);
    int status = -1;
    while (::waitpid(*pid_, &status, 0) == *pid_ && WIFSTOPPED(status)) {
    }
    reaped_ = true;
    return status;
  }

 private:
  Result<pid_t> pid_;
  bool reaped_ = false;
};

TEST(SpawnStopped, HasExecutedNothingAndIsNotTraced) {
  Spawned spawned({"sh", "-c", "exit 7"});
  ASSERT_TRUE(spawned.pid()) << spawned.pid().error().line();
  const auto status = targets::read_status(*spawned.pid());
  ASSERT_TRUE(status);
  EXPECT_EQ(status->name, "sh");
  EXPECT_EQ(status->state, 'T');
  EXPECT_EQ(status->tracer, 0);
  EXPECT_EQ(status->parent, ::getpid());
  EXPECT_EQ(read_file("/proc/" + std::to_string(*spawned.pid()) + "/cmdline").value(),
            std::string("sh\0-c\0exit 7\0", 13));
  // The dynamic loader has mapped nothing yet: no C library.
  const auto maps = read_file("/proc/" + std::to_string(*spawned.pid()) + "/maps");
  EXPECT_THAT(maps.value(), ::testing::Not(HasSubstr("libc.so")));
  const int end = spawned.go_on_to_its_end();
  ASSERT_TRUE(WIFEXITED(end));
  EXPECT_EQ(WEXITSTATUS(end), 7);
}

TEST(SpawnStopped, GivesItTheSignalMask) {
  sigset_t mask = no_signals();
  sigaddset(&mask, SIGUSR2);
  Spawned spawned({"sleep", "600"}, mask);
  ASSERT_TRUE(spawned.pid());
  EXPECT_EQ(targets::read_status(*spawned.pid())->blocked, uint64_t{1} << (SIGUSR2 - 1));
}

TEST(SpawnStopped, SaysWhyACommandCannotBeExecuted) {
  for (const auto& [command, why] :
       {std::pair{"/nonexistent/program", "No such file or directory"},
        std::pair{"no-such-program-anywhere", "No such file or directory"},
        std::pair{"/etc", "Permission denied"}}) {
    const Spawned spawned({command});
    ASSERT_FALSE(spawned.pid()) << command;
    EXPECT_EQ(spawned.pid().error().kind(), Exit::kNoTarget);
    EXPECT_EQ(spawned.pid().error().line(), std::string("cannot run ") + command + ": " + why);
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "no child is left";
}

TEST(WaitingChild, ExecutesWhenItIsLetGo) {
  auto child = WaitingChild::fork({"sh", "-c", "exit 7"}, no_signals());
  ASSERT_TRUE(child) << child.error().line();
  EXPECT_EQ(targets::read_status(child->pid())->parent, ::getpid());
  EXPECT_NE(targets::read_status(child->pid())->name, "sh");
  ASSERT_TRUE(child->let_go());
  EXPECT_TRUE(child->accepted());
  int status = 0;
  ASSERT_EQ(::waitpid(child->pid(), &status, 0), child->pid());
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

TEST(WaitingChild, SaysWhyItCannotExecute) {
  auto child = WaitingChild::fork({"/nonexistent/program"}, no_signals());
  ASSERT_TRUE(child);
  ASSERT_TRUE(child->let_go());
  const auto accepted = child->accepted();
  ASSERT_FALSE(accepted);
  EXPECT_EQ(accepted.error().line(), "cannot run /nonexistent/program: No such file or directory");
  EXPECT_EQ(::waitpid(child->pid(), nullptr, 0), child->pid());
}

TEST(WaitingChild, EndsWithoutBeingLetGo) {
  pid_t pid = 0;
  {
    const auto child = WaitingChild::fork({"true"}, no_signals());
    ASSERT_TRUE(child);
    pid = child->pid();
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 127);
}

TEST(TryPtrace, WorksHereAndLeavesNoChild) {
  const auto tried = try_ptrace();
  if (!tried) GTEST_SKIP() << tried.error().line();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace time_chaos::tracee
