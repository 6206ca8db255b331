// Programs that a target executes: with the ptrace engine their clocks are the target's from their
// first instruction on, whatever they are built from and however they are started.
#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

const Arguments kPrograms = {
    "once",     "once_glibc_static", "once_musl",     "once_musl_static",
    "once_m32", "once_m32_static",   "once_go_amd64", "once_go_386",
    "first",    "first_m32",
};
const Arguments kWays = {"exec", "thread", "again", "fork", "vfork", "spawn", "system", "popen"};

Arguments run_shifted(const std::string& offset, const Arguments& command) {
  Arguments result{"run", "--offset", offset, "--engine-syscalls", "ptrace", "--"};
  result.insert(result.end(), command.begin(), command.end());
  return result;
}

bool built(const std::string& name) {
  return ::access(target_path(name).c_str(), X_OK) == 0;
}

TEST(Exec, EveryProgramStartedInEveryWay) {
  for (const std::string& name : kPrograms) {
    if (!built(name)) continue;
    for (const std::string& way : kWays) {
      SCOPED_TRACE(name + " by " + way);
      ASSERT_PROGRAM(outcome, 0,
                     run_shifted("-1h", {target_path("spawner"), way, target_path(name)}));
      ASSERT_VALUE(const int count, check_lines(outcome.out, hours{-1}));
      EXPECT_EQ(count, 1) << outcome.text();
    }
  }
}

// The command of `run` itself executes; its program again.
TEST(Exec, OfExecOfExec) {
  Arguments command;
  for (int i = 0; i < 5; ++i) command.insert(command.end(), {target_path("spawner"), "exec"});
  command.push_back(target_path("once"));
  ASSERT_PROGRAM(outcome, 0, run_shifted("1h", command));
  ASSERT_VALUE(const int count, check_lines(outcome.out, hours{1}));
  EXPECT_EQ(count, 1) << outcome.text();
}

// A file that begins with "#!".
TEST(Exec, AScript) {
  std::string path = "/tmp/time-chaos-live-script-XXXXXX";
  const int fd = ::mkstemp(path.data());
  ASSERT_GE(fd, 0);
  const std::string text = "#!" + target_path("once") + "\n";
  ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  ASSERT_EQ(::fchmod(fd, 0755), 0);
  ASSERT_EQ(::close(fd), 0);
  const auto outcome = run_program(run_shifted("1h", {target_path("spawner"), "fork", path}));
  ::unlink(path.c_str());
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->status, (ExitStatus{0, 0})) << outcome->text();
  ASSERT_VALUE(const int count, check_lines(outcome->out, hours{1}));
  EXPECT_EQ(count, 1) << outcome->text();
}

TEST(Exec, Interpreters) {
  const std::string python =
      "import time; m=time.monotonic_ns(); r=time.time_ns(); "
      "print(f'rt {r//10**9}.{r%10**9:09} mono {m//10**9}.{m%10**9:09} time {int(time.time())}')";
  if (!find_executable("/usr/bin/python3")) GTEST_SKIP() << "python3 is missing";
  ASSERT_PROGRAM(
      outcome, 0,
      run_shifted("1h", {target_path("spawner"), "vfork", "/usr/bin/python3", "-c", python}));
  ASSERT_VALUE(const int count, check_lines(outcome.out, hours{1}));
  EXPECT_EQ(count, 1) << outcome.text();
}

// A program that a running target executes is shifted, follows `set`, and is let go with it: real
// time, no tracer, nothing of ours in it.
TEST(Exec, OfARunningTarget) {
  ASSERT_VALUE(Child forker, start_target("forker", {}, /*with_input=*/true));
  ASSERT_VALUE(HeldShift held, trace_held(forker.pid(), "1h"));
  ASSERT_STATUS(forker.write_line("exec"));
  std::string first;
  for (int i = 0; i < 1000 && !first.starts_with("execed "); ++i) {
    ASSERT_VALUE(const Reading reading, next_reading(forker, 0));
    first = reading.line();
  }
  ASSERT_VALUE(const int first_lines, check_lines(first, hours{1}));
  EXPECT_EQ(first_lines, 1);
  const pid_t pid = pid_in(first);
  ASSERT_VALUE(const auto set, set_offset(forker.pid(), "-2h"));
  EXPECT_STATUS(check_shift(
      forker,
      {.expected = hours{-2}, .since = host_mono_ns(), .unshifted = {}, .only_label = "execed "}));
  ASSERT_VALUE(const Snapshot during, Snapshot::take(pid));
  EXPECT_NE(during.tracer, 0);
  ASSERT_VALUE(const auto recovered, stop_agent(held.agent));
  EXPECT_STATUS(
      check_shift(forker, {.since = host_mono_ns(), .unshifted = {}, .only_label = "execed "}));
  ASSERT_VALUE(const Snapshot after, Snapshot::take(pid));
  EXPECT_EQ(after.tracer, 0);
  EXPECT_EQ(after.vdso_private_kib, 0U);
}

// A copy of `id` that is setuid root, in a directory of its own; nothing where that cannot be.
class SetuidProgram {
 public:
  SetuidProgram() {
    std::string directory = "/var/tmp/time-chaos-live-XXXXXX";
    if (::geteuid() != 0 || ::mkdtemp(directory.data()) == nullptr) return;
    directory_ = directory;
    std::error_code error;
    std::filesystem::permissions(directory_, std::filesystem::perms(0755), error);
    std::filesystem::copy_file("/usr/bin/id", path(), error);
    ::chmod(path().c_str(), 04755);
  }
  SetuidProgram(const SetuidProgram&) = delete;
  SetuidProgram& operator=(const SetuidProgram&) = delete;
  SetuidProgram(SetuidProgram&&) = delete;
  SetuidProgram& operator=(SetuidProgram&&) = delete;
  ~SetuidProgram() {
    std::error_code error;
    if (!directory_.empty()) std::filesystem::remove_all(directory_, error);
  }
  [[nodiscard]] std::string path() const { return directory_ + "/id"; }
  // Run by nobody, it says 0.
  [[nodiscard]] bool works() const {
    auto child = Child::spawn({as_nobody({path(), "-u"}), {}, false});
    if (directory_.empty() || !child) return false;
    const auto line = child->read_line(Milliseconds{5000});
    return line && *line == "0";
  }
  static Arguments as_nobody(const Arguments& command) {
    Arguments result{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"};
    result.insert(result.end(), command.begin(), command.end());
    return result;
  }

 private:
  std::string directory_;
};

// The kernel lets a setuid program gain its privileges if its tracer could have them anyway.
TEST(Exec, SetuidProgramsGainTheirPrivilegesUnderAPrivilegedAgentOnly) {
  const SetuidProgram id;
  if (!id.works()) GTEST_SKIP() << "no setuid programs here";
  ASSERT_PROGRAM(by_root, 0, run_shifted("1h", SetuidProgram::as_nobody({id.path(), "-u"})));
  EXPECT_EQ(by_root.out, "0\n");
  // Where nobody can execute our binary: the build may be in a directory that is closed to it.
  ASSERT_VALUE(Child probe,
               Child::spawn({SetuidProgram::as_nobody({program_path(), "--help"}), {}, false}));
  ASSERT_VALUE(const ExitStatus may, probe.wait(Milliseconds{5000}));
  if (may != ExitStatus{0, 0}) GTEST_SKIP() << "nobody cannot execute " << program_path();
  Arguments by_nobody = run_shifted("1h", {target_path("spawner"), "fork", id.path(), "-u"});
  by_nobody.insert(by_nobody.begin(), program_path());
  ASSERT_VALUE(Child child, Child::spawn({SetuidProgram::as_nobody(by_nobody), {}, false}));
  ASSERT_VALUE(const std::string uid, child.read_line(Milliseconds{5000}));
  EXPECT_EQ(uid, "65534");
}

// Monotonic clocks would step back in it when it is let go.
TEST(Exec, LeavesMonotonicClocksAlone) {
  ASSERT_PROGRAM(outcome, 0,
                 {"run", "--offset", "1h", "--clocks", "monotonic-family", "--engine-syscalls",
                  "ptrace", "--", target_path("spawner"), "fork", target_path("once")});
  ASSERT_VALUE(const int count, check_lines(outcome.out, hours{0}));
  EXPECT_EQ(count, 1) << outcome.text();
}

}  // namespace
}  // namespace time_chaos::live
