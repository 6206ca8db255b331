// Containers and pods by the names that runtimes give their control groups. The groups are real,
// the runtime is the test: it makes a group, moves a process into it, and ends it.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/live/harness/support.h"
#include "tests/unit/targets/groups.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;
using test::Groups;
using testing::HasSubstr;

// An id and a UID that no other container here has.
std::string id_of(char kind) {
  return fmt::format("{:c}{:08x}{}", kind, ::getpid(), std::string(55, '7'));
}
std::string uid_of(char kind) {
  return fmt::format("{0:08x}-{1}{1}{1}{1}-4aaa-9bbb-{1}cccccccccc{1}", ::getpid(), kind);
}

Arguments arguments(const Arguments& targets) {
  Arguments list{"agent", "--json", "--offset", "1h", "--engine-syscalls", "off"};
  list.insert(list.end(), targets.begin(), targets.end());
  return list;
}

Status await(Agent& agent, pid_t pid) {
  for (;;) {
    TC_TRY(const auto event, agent.wait_event("shifted"));
    if (member(event, "pid") == pid) return {};
  }
}

Status check_real(Child& child) {
  return check_shift(child, {.since = host_mono_ns(), .unshifted = {}});
}

TEST(Containers, AreWaitedForFollowedAndTheirEndIsTheAgents) {
  Groups groups;
  if (!groups.made()) GTEST_SKIP() << "no control group can be made here";
  ASSERT_VALUE(Agent agent,
               Agent::start(arguments({"--container", id_of('a').substr(0, 12), "--wait", "2s"})));
  ASSERT_VALUE(const auto waiting, agent.wait_event("waiting"));
  EXPECT_THAT(member(waiting, "why").dump(), HasSubstr(id_of('a').substr(0, 12)));
  const std::string group = groups.make("docker-" + id_of('a') + ".scope");
  pid_t pid = 0;
  for (int life = 0; life < 3; ++life) {  // a restarted one has its id still
    ASSERT_VALUE(Child target, start_clock_target(clock_target("glibc")));
    ASSERT_NE(target.pid(), pid);
    pid = target.pid();
    ASSERT_STATUS(Groups::add(group, pid));
    ASSERT_STATUS(await(agent, pid));
    EXPECT_STATUS(check_shift(target, {.expected = hours{1}, .since = host_mono_ns()}));
  }
  groups.remove_last();
  ASSERT_VALUE(const Outcome outcome, agent.wait());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
}

TEST(Containers, ThatDoNotComeInTimeAreNoTargets) {
  ASSERT_PROGRAM(outcome, 4, arguments({"--container", "no-such-container", "--wait", "300ms"}));
  EXPECT_TRUE(is_one_error_line(outcome.err)) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("no process of --container no-such-container; start it\n"));
  ASSERT_PROGRAM(impatient, 4, arguments({"--container", "no-such-container"}));
  EXPECT_THAT(impatient.err, HasSubstr("wait for it with --wait 30s"));
  for (const char* command : {"set", "status", "recover"}) {
    Arguments line{command, "--container", "no-such-container"};
    if (command == std::string("set")) line.insert(line.end(), {"--offset", "1h"});
    ASSERT_VALUE(const Outcome other, run_program(line));
    EXPECT_THAT(other.err, testing::Not(HasSubstr("--wait"))) << command << " has no such option";
  }
}

TEST(Containers, AnIdThatSeveralBeginWithIsRefused) {
  Groups groups;
  if (!groups.made()) GTEST_SKIP() << "no control group can be made here";
  ASSERT_VALUE(Child first, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Child second, start_clock_target(clock_target("glibc")));
  const std::string one = id_of('b');
  const std::string other = one.substr(0, 63) + "8";
  ASSERT_STATUS(Groups::add(groups.make("libpod-" + one), first.pid()));
  ASSERT_STATUS(Groups::add(groups.make("libpod-" + other), second.pid()));
  ASSERT_PROGRAM(refused, 2, arguments({"--container", one.substr(0, 20)}));
  EXPECT_THAT(refused.err, HasSubstr("give more of it"));
  ASSERT_VALUE(Agent agent, Agent::start(arguments({"--container", other})));
  ASSERT_STATUS(await(agent, second.pid()));
  EXPECT_STATUS(check_real(first));
  ASSERT_PROGRAM(changed, 0, {"set", "--container", other, "--offset", "-1h"});
  EXPECT_STATUS(check_shift(second, {.expected = hours{-1}, .since = host_mono_ns()}));
  ASSERT_PROGRAM(status, 0, {"status", "--container", other});
  EXPECT_THAT(status.out, HasSubstr("wall -1h"));
  ASSERT_VALUE(const Outcome outcome, agent.stop(SIGTERM));
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check_real(second));
}

TEST(Pods, AreAllTheirContainersAndNoOthers) {
  Groups groups;
  if (!groups.made()) GTEST_SKIP() << "no control group can be made here";
  ASSERT_VALUE(Child app, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Child proxy, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Child neighbour, start_clock_target(clock_target("glibc")));
  const std::string pod = groups.make("pod" + uid_of('d'));
  const std::string other = groups.make("pod" + uid_of('e'));
  const auto below = [&](const std::string& parent, char kind) {
    return groups.make(parent.substr(parent.rfind('/') + 1) + "/" + id_of(kind));
  };
  ASSERT_STATUS(Groups::add(below(pod, 'd'), app.pid()));
  ASSERT_STATUS(Groups::add(below(pod, 'c'), proxy.pid()));
  ASSERT_STATUS(Groups::add(below(other, 'e'), neighbour.pid()));
  std::string underscored = uid_of('d');
  std::replace(underscored.begin(), underscored.end(), '-', '_');
  {
    ASSERT_VALUE(Agent agent, Agent::start(arguments({"--pod", underscored})));
    ASSERT_VALUE(const auto first, agent.wait_event("shifted"));
    ASSERT_VALUE(const auto second, agent.wait_event("shifted"));
    EXPECT_STATUS(check_shift(app, {.expected = hours{1}, .since = host_mono_ns()}));
    EXPECT_STATUS(check_shift(proxy, {.expected = hours{1}, .since = host_mono_ns()}));
    EXPECT_STATUS(check_real(neighbour));
    ASSERT_VALUE(const Outcome outcome, agent.stop());
    EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  }
  ASSERT_VALUE(Agent agent,
               Agent::start(arguments({"--pod", uid_of('d'), "--container", id_of('c')})));
  ASSERT_STATUS(await(agent, proxy.pid()));
  EXPECT_STATUS(check_real(app)) << "--container names one of the pod's";
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
}

// While a container is being made its group holds the runtime itself.
TEST(Containers, ARuntimeThatStillMakesOneIsLeftAlone) {
  Groups groups;
  if (!groups.made()) GTEST_SKIP() << "no control group can be made here";
  const std::string link = testing::TempDir() + "runc:[2:INIT]";
  ::unlink(link.c_str());
  ASSERT_EQ(::symlink(target_path("restarter").c_str(), link.c_str()), 0);
  ASSERT_VALUE(Child init, Child::spawn({{link, "life", "now"}, {}, false}));
  ASSERT_VALUE(const Reading reading, next_reading(init, 0));
  const std::string group = groups.make("crio-" + id_of('f') + ".scope");
  ASSERT_STATUS(Groups::add(group, init.pid()));
  ASSERT_PROGRAM(none, 4, arguments({"--container", id_of('f'), "--wait", "400ms"}));
  ASSERT_PROGRAM(refused, 1, arguments({"--pid", std::to_string(init.pid())}));
  EXPECT_THAT(refused.err, HasSubstr("container runtime"));
  ASSERT_VALUE(Child program, start_clock_target(clock_target("glibc")));
  ASSERT_STATUS(Groups::add(group, program.pid()));
  ASSERT_VALUE(Agent agent, Agent::start(arguments({"--container", id_of('f')})));
  ASSERT_STATUS(await(agent, program.pid()));
  EXPECT_STATUS(check_real(init));
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  ::unlink(link.c_str());
}

TEST(AllButMe, InASharedPidNamespace) {
  if (const Status can = try_pid_namespace(); !can) GTEST_SKIP() << can.error().line();
  ASSERT_VALUE(Child outer,
               Child::spawn({{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child",
                              target_path("restarter"), target_path("restarter")},
                             {},
                             true}));
  ASSERT_VALUE([[maybe_unused]] const std::string ready, outer.read_line(Milliseconds{5000}));
  std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", outer.pid()));
  std::string inner;
  ASSERT_TRUE(children >> inner);
  ASSERT_STATUS(outer.write_line("again"));
  ASSERT_VALUE(const Reading reading, next_reading(outer, 0));
  // In a container of its own; beside it in that, a shell that must not be shifted.
  ASSERT_VALUE(Agent agent,
               Agent::start_through({"nsenter", "-t", inner, "-p", "-m", "unshare", "-m", "sh",
                                     "-c", "sleep 60 & \"$@\"; code=$?; kill $!; exit $code", "sh"},
                                    arguments({"--all-but-me", "--duration", "3s"})));
  ASSERT_STATUS(await(agent, pid_in(reading.line())));
  EXPECT_STATUS(check_shift(outer, {.expected = hours{1}, .since = host_mono_ns()}));
  ASSERT_VALUE(const Outcome outcome, agent.wait());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  for (const auto& event : outcome.events()) {
    if (member(event, "event") != "shifted") continue;
    EXPECT_EQ(member(event, "command"), "restarter") << event;
  }
}

TEST(AllButMe, IsRefusedWhereItMeansTheWholeMachine) {
  struct stat status {};
  if (::stat("/proc/self/ns/pid", &status) != 0 || status.st_ino != 0xEFFFFFFC) {
    GTEST_SKIP() << "not in the machine's own pid namespace";
  }
  ASSERT_PROGRAM(outcome, 2, arguments({"--all-but-me"}));
  EXPECT_TRUE(is_one_error_line(outcome.err)) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("every process of this machine"));
}

}  // namespace
}  // namespace time_chaos::live
