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

TEST(TryPtrace, WorksHereAndLeavesNoChild) {
  const auto tried = try_ptrace();
  if (!tried) GTEST_SKIP() << tried.error().line();
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace time_chaos::tracee
