// Names and control groups hold for what comes later: a service that is restarted again and again
// is shifted in every life from the moment on at which the agent says so.
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <fstream>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

// A link to the restarter, whose name nobody else has.
class Link {
 public:
  explicit Link(const char* kind)
      : path_(fmt::format("{}/tc{}{}", testing::TempDir(), kind, ::getpid())) {
    ::unlink(path_.c_str());
    made_ = ::symlink(target_path("restarter").c_str(), path_.c_str()) == 0;
  }
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;
  Link(Link&&) = delete;
  Link& operator=(Link&&) = delete;
  ~Link() { ::unlink(path_.c_str()); }
  [[nodiscard]] bool made() const { return made_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string name() const { return path_.substr(path_.rfind('/') + 1); }

 private:
  std::string path_;
  bool made_ = false;
};

// Its first reading after the restart.
Result<pid_t> restart(Child& restarter, pid_t before = 0) {
  TC_CHECK(restarter.write_line("again"));
  for (;;) {
    TC_TRY(const Reading reading, next_reading(restarter, 0));
    if (const pid_t pid = pid_in(reading.line()); pid != before) return pid;
  }
}

Result<Child> start_restarter(const Link& link) {
  TC_TRY(Child restarter, start_target("restarter", {link.path()}, /*with_input=*/true));
  TC_TRY([[maybe_unused]] const std::string ready, restarter.read_line(Milliseconds{5000}));
  return restarter;
}

Status check_life(Child& restarter, pid_t pid, Nanoseconds expected, bool raw) {
  return check_shift(
      restarter, {.expected = expected,
                  .since = host_mono_ns(),
                  .unshifted = raw ? std::vector<std::string>{} : std::vector<std::string>{"raw"},
                  .only_label = fmt::format("life {} ", pid)});
}

Arguments arguments_for(const std::string& option, const std::string& value, bool traced) {
  return {"agent",
          option,
          value,
          "--json",
          "--offset",
          "1h",
          "--engine-syscalls",
          traced ? "ptrace" : "off"};
}

// Until the agent says that it has done what it can for that process.
Status await(Agent& agent, pid_t pid, bool traced) {
  for (;;) {
    TC_TRY(const auto event, agent.wait_event(traced ? "following" : "shifted"));
    if (member(event, "pid") == pid) return {};
  }
}

void many_lives(bool traced, int lives) {
  const Link link(traced ? "t" : "d");
  ASSERT_TRUE(link.made());
  ASSERT_VALUE(Child restarter, start_restarter(link));
  ASSERT_VALUE(pid_t pid, restart(restarter));
  ASSERT_VALUE(Agent agent, Agent::start(arguments_for("--name", link.name(), traced)));
  ASSERT_STATUS(await(agent, pid, traced));
  ASSERT_VALUE(const auto follows, agent.wait_event("follows"));
  EXPECT_EQ(member(follows, "selector"), "--name " + link.name());
  for (int life = 1; life < lives; ++life) {
    SCOPED_TRACE(fmt::format("life {}", life));
    EXPECT_STATUS(check_life(restarter, pid, hours{life < 10 ? 1 : -1}, traced));
    ASSERT_VALUE(pid, restart(restarter, pid));
    ASSERT_STATUS(await(agent, pid, traced));
    if (life != 9) continue;
    ASSERT_PROGRAM(set, 0, {"set", "--name", link.name(), "--offset", "-1h"});  // for those to come
  }
  EXPECT_STATUS(check_life(restarter, pid, hours{-1}, traced));
  ASSERT_PROGRAM(status, 0, {"status", "--name", link.name()});
  EXPECT_THAT(status.out, testing::HasSubstr("--name " + link.name() + " is ")) << status.out;
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_EQ(member(outcome.event("recovered"), "pid"), pid) << outcome.text();
  int shifted = 0;
  for (const auto& event : outcome.events()) {
    shifted += member(event, "event") == "shifted" ? 1 : 0;
    EXPECT_NE(member(event, "event"), "error") << event;
  }
  EXPECT_EQ(shifted, lives) << "each once\n" << outcome.text();
  EXPECT_STATUS(check_life(restarter, pid, hours{0}, true));
  ASSERT_VALUE(pid, restart(restarter, pid));
  EXPECT_STATUS(check_life(restarter, pid, hours{0}, true)) << "the agent is gone";
}

TEST(Followers, RestartedTwentyTimesUnderTheDetour) {
  many_lives(/*traced=*/false, 20);
}

TEST(Followers, RestartedTwentyTimesUnderPtrace) {
  many_lives(/*traced=*/true, 20);
}

// One that must not be shifted is refused in one line, and the others are served on.
TEST(Followers, ARefusalIsNotTheEnd) {
  const Link link("r");
  ASSERT_TRUE(link.made());
  ASSERT_VALUE(Child restarter, start_restarter(link));
  ASSERT_VALUE(pid_t pid, restart(restarter));
  ASSERT_VALUE(Agent agent, Agent::start(arguments_for("--name", link.name(), false)));
  ASSERT_STATUS(await(agent, pid, false));
  ASSERT_VALUE(Child filtered, start_target("seccomp", {"kill", link.name()}));
  ASSERT_VALUE(const auto error, agent.wait_event("error"));
  EXPECT_THAT(member(error, "message").dump(), testing::HasSubstr("seccomp")) << error;
  EXPECT_STATUS(check_shift(filtered, {.since = host_mono_ns(), .unshifted = {}}));
  ASSERT_VALUE(pid, restart(restarter, pid));
  ASSERT_STATUS(await(agent, pid, false));
  EXPECT_STATUS(check_life(restarter, pid, hours{1}, false));
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{6, 0})) << "done in part\n" << outcome.text();
  EXPECT_TRUE(is_one_error_line(outcome.err)) << outcome.err;
  EXPECT_STATUS(check_life(restarter, pid, hours{0}, true));
}

// A target that executes itself is a new program in an old process: without a tracer it has lost
// its detour.
TEST(Followers, ATargetThatExecutesItself) {
  const Link link("x");
  ASSERT_TRUE(link.made());
  ASSERT_VALUE(Child target, Child::spawn({{link.path(), "life", "again"}, {}, true}));
  ASSERT_VALUE(const Reading first, next_reading(target, 0));
  ASSERT_VALUE(Agent agent, Agent::start(arguments_for("--name", link.name(), false)));
  ASSERT_STATUS(await(agent, target.pid(), false));
  for (int i = 0; i < 3; ++i) {
    EXPECT_STATUS(check_life(target, target.pid(), hours{1}, false));
    ASSERT_STATUS(target.write_line("exec"));
    ASSERT_STATUS(await(agent, target.pid(), false));
  }
  EXPECT_STATUS(check_life(target, target.pid(), hours{1}, false));
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check_life(target, target.pid(), hours{0}, true));
}

// Where the kernel tells nobody of its events, and pids mean something else.
TEST(Followers, InAPidNamespace) {
  if (const Status can = try_pid_namespace(); !can) GTEST_SKIP() << can.error().line();
  const Link link("n");
  ASSERT_TRUE(link.made());
  ASSERT_VALUE(Child outer, Child::spawn({{"unshare", "--pid", "--fork", "--mount-proc",
                                           "--kill-child", target_path("restarter"), link.path()},
                                          {},
                                          true}));
  ASSERT_VALUE([[maybe_unused]] const std::string ready, outer.read_line(Milliseconds{5000}));
  std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", outer.pid()));
  std::string inner;
  ASSERT_TRUE(children >> inner);
  ASSERT_VALUE(pid_t pid, restart(outer));
  Arguments arguments = arguments_for("--name", link.name(), /*traced=*/true);
  arguments.insert(arguments.end(), {"--duration", "4s"});
  ASSERT_VALUE(Agent agent, Agent::start_through({"nsenter", "-t", inner, "-p", "-m"}, arguments));
  ASSERT_STATUS(await(agent, pid, true));
  ASSERT_VALUE(const auto follows, agent.wait_event("follows"));
  EXPECT_EQ(member(follows, "by"), "looks") << follows;
  EXPECT_THAT(member(follows, "why").dump(), testing::HasSubstr("kernel events need"));
  for (int life = 0; life < 2; ++life) {
    EXPECT_STATUS(check_life(outer, pid, hours{1}, true));
    ASSERT_VALUE(pid, restart(outer, pid));
    ASSERT_STATUS(await(agent, pid, true));
  }
  EXPECT_STATUS(check_life(outer, pid, hours{1}, true));
  ASSERT_VALUE(const Outcome outcome, agent.wait());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check_life(outer, pid, hours{0}, true));
}

// Removed with the test; its processes must have ended.
class Group {
 public:
  explicit Group(const std::string& mount)
      : path_(fmt::format("{}/tc-test-{}", mount, ::getpid())),
        made_(::mkdir(path_.c_str(), 0700) == 0) {}
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  Group(Group&&) = delete;
  Group& operator=(Group&&) = delete;
  ~Group() {
    for (int i = 0; made_ && i < 100 && ::rmdir(path_.c_str()) != 0; ++i) ::usleep(10000);
  }
  [[nodiscard]] bool made() const { return made_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  Status add(pid_t pid) const {
    std::ofstream file(path_ + "/cgroup.procs");
    file << pid << std::flush;
    if (file) return {};
    return fail(Exit::kFailed, fmt::format("cannot move {} to {}", pid, path_));
  }

 private:
  std::string path_;
  bool made_;
};

struct Version {
  std::string name;
  decltype(statfs::f_type) type;
};

// The first mount that has control groups of that version.
std::optional<std::string> mount_of(const Version& version) {
  for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd",
                           "/sys/fs/cgroup/pids", "/sys/fs/cgroup/freezer"}) {
    struct statfs facts {};
    if (::statfs(path, &facts) == 0 && facts.f_type == version.type) return path;
  }
  return std::nullopt;
}

class ControlGroup : public testing::TestWithParam<Version> {};

TEST_P(ControlGroup, StartedInItAndMovedIntoIt) {
  const auto mount = mount_of(GetParam());
  if (!mount) GTEST_SKIP() << "no control groups of that version here";
  const Group group(*mount);
  if (!group.made()) GTEST_SKIP() << "no control group can be made in " << *mount;
  const Link link("g");
  ASSERT_TRUE(link.made());
  ASSERT_VALUE(Child restarter, start_restarter(link));
  ASSERT_STATUS(group.add(restarter.pid()));
  ASSERT_VALUE(pid_t pid, restart(restarter));
  ASSERT_VALUE(Child beside, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Agent agent, Agent::start(arguments_for("--cgroup", group.path(), false)));
  ASSERT_STATUS(await(agent, pid, false));
  for (int life = 0; life < 5; ++life) {
    EXPECT_STATUS(check_life(restarter, pid, hours{1}, false));
    ASSERT_VALUE(pid, restart(restarter, pid));
    ASSERT_STATUS(await(agent, pid, false));
  }
  EXPECT_STATUS(check_life(restarter, pid, hours{1}, false));
  EXPECT_STATUS(check_shift(beside, {.since = host_mono_ns(), .unshifted = {}}));
  ASSERT_STATUS(group.add(beside.pid()));
  ASSERT_STATUS(await(agent, beside.pid(), false));
  EXPECT_STATUS(check_shift(beside, {.expected = hours{1}, .since = host_mono_ns()}));
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check_life(restarter, pid, hours{0}, true));
  EXPECT_STATUS(check_shift(beside, {.since = host_mono_ns(), .unshifted = {}}));
}

std::string version_name(const testing::TestParamInfo<Version>& p) {
  return p.param.name;
}

INSTANTIATE_TEST_SUITE_P(Followers, ControlGroup,
                         testing::Values(Version{"v1", CGROUP_SUPER_MAGIC},
                                         Version{"v2", CGROUP2_SUPER_MAGIC}),
                         version_name);

}  // namespace
}  // namespace time_chaos::live
