// Options from the environment, from a file that changes, and from a manifest of Chaos Mesh.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

namespace fs = std::filesystem;
using std::chrono::hours;
using testing::HasSubstr;

// As the kubelet mounts a ConfigMap.
class ConfigMap {
 public:
  ConfigMap() : directory_(fmt::format("{}tc-config-{}", testing::TempDir(), ::getpid())) {
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    fs::create_symlink("..data/clock.yaml", path());
  }
  ConfigMap(const ConfigMap&) = delete;
  ConfigMap& operator=(const ConfigMap&) = delete;
  ConfigMap(ConfigMap&&) = delete;
  ConfigMap& operator=(ConfigMap&&) = delete;
  ~ConfigMap() { fs::remove_all(directory_); }

  [[nodiscard]] std::string path() const { return directory_ + "/clock.yaml"; }
  void set(const std::string& text) {
    const std::string version = fmt::format("..{}", ++version_);
    fs::create_directories(fmt::format("{}/{}", directory_, version));
    std::ofstream(fmt::format("{}/{}/clock.yaml", directory_, version)) << text;
    fs::create_symlink(version, directory_ + "/..data_tmp");
    fs::rename(directory_ + "/..data_tmp", directory_ + "/..data");
    if (version_ > 1) fs::remove_all(fmt::format("{}/..{}", directory_, version_ - 1));
  }

 private:
  std::string directory_;
  int version_ = 0;
};

Status check(Child& target, hours expected) {
  return check_shift(target, {.expected = expected, .since = host_mono_ns()});
}

TEST(Config, AChangeIsASetAndAnErrorChangesNothing) {
  ConfigMap config;
  config.set("offset: 1h\n");
  ASSERT_VALUE(Child target, start_clock_target(clock_target("glibc")));
  ASSERT_VALUE(Agent agent, Agent::start({"agent", "--config", config.path(), "--json",
                                          "--engine-syscalls", "off"},
                                         {fmt::format("TIME_CHAOS_PID={}", target.pid())}));
  ASSERT_VALUE(const auto shifted, agent.wait_event("shifted"));
  EXPECT_STATUS(check(target, hours{1}));
  config.set("{\"offset\": \"-2h\"}");
  ASSERT_VALUE(const auto changed, agent.wait_event("set"));
  EXPECT_EQ(member(changed, "pid"), target.pid()) << changed;
  EXPECT_STATUS(check(target, hours{-2}));
  for (const char* wrong : {"offset: soon\n", "ofset: 1h\n", "offset: [1h, 2h]\n", "offset: '1h\n",
                            "offset: 1h\nat: 2030-01-01T00:00:00Z\n", ""}) {
    config.set(wrong);
    ASSERT_VALUE(const auto error, agent.wait_event("error"));
    EXPECT_THAT(member(error, "message").dump(), HasSubstr("clock.yaml")) << wrong;
    EXPECT_STATUS(check(target, hours{-2}));
  }
  config.set("offset: 3h\nforce: true\n");
  ASSERT_VALUE(const auto later, agent.wait_event("error"));
  EXPECT_THAT(member(later, "message").dump(), HasSubstr("something else")) << later;
  ASSERT_VALUE(const auto again, agent.wait_event("set"));
  EXPECT_STATUS(check(target, hours{3}));
  ASSERT_VALUE(const Outcome outcome, agent.stop(SIGTERM));
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check_shift(target, {.since = host_mono_ns(), .unshifted = {}}));
}

// Followed by ptrace, a program that a target executes has no clock page: its agent keeps it.
TEST(Config, AChangeReachesWhatATargetHasExecuted) {
  ConfigMap config;
  config.set("offset: 1h\n");
  const std::string program = target_path("restarter");
  ASSERT_VALUE(Child target, Child::spawn({{program, "life", "again"}, {}, true}));
  ASSERT_VALUE(const Reading first, next_reading(target, 0));
  ASSERT_VALUE(Agent agent,
               Agent::start({"agent", "--config", config.path(), "--json", "--pid",
                             std::to_string(target.pid()), "--engine-syscalls", "ptrace"}));
  ASSERT_VALUE(const auto following, agent.wait_event("following"));
  ASSERT_STATUS(target.write_line("exec"));
  for (int i = 0; i < 3; ++i) {
    ASSERT_VALUE(const Reading more, next_reading(target, host_mono_ns()));
  }
  config.set("offset: 2h\n");
  ASSERT_VALUE(const auto changed, agent.wait_event("set"));
  EXPECT_EQ(member(changed, "pid"), target.pid()) << changed;
  EXPECT_EQ(member(changed, "ended"), false) << changed;
  EXPECT_STATUS(
      check_shift(target, {.expected = hours{2}, .since = host_mono_ns(), .unshifted = {}}));
  ASSERT_VALUE(const Outcome outcome, agent.stop());
  EXPECT_STATUS(check_shift(target, {.since = host_mono_ns(), .unshifted = {}}));
}

TEST(Config, TheCommandLineWinsOverTheEnvironmentAndThatOverTheFile) {
  ConfigMap config;
  config.set("offset: 1h\nclocks: realtime,tai\nengine-syscalls: off\ndetach: true\nlease: 1m\n");
  const auto shift = [&](const Arguments& more,
                         const std::vector<std::string>& env) -> Result<nlohmann::json> {
    TC_TRY(Child target, start_clock_target(clock_target("glibc")));
    Arguments line{"agent", "--json", "--pid", std::to_string(target.pid())};
    line.insert(line.end(), more.begin(), more.end());
    TC_TRY(const Outcome outcome, run_program(line, {env, ""}));
    return outcome.event("shifted");
  };
  const std::string file = "TIME_CHAOS_CONFIG=" + config.path();
  ASSERT_VALUE(const auto by_file, shift({}, {file}));
  EXPECT_EQ(member(by_file, "map"), "+1h") << by_file;
  ASSERT_VALUE(const auto by_env, shift({}, {file, "TIME_CHAOS_OFFSET=2h"}));
  EXPECT_EQ(member(by_env, "map"), "+2h") << by_env;
  ASSERT_VALUE(const auto by_line, shift({"--offset", "3h"}, {file, "TIME_CHAOS_OFFSET=2h"}));
  EXPECT_EQ(member(by_line, "map"), "+3h") << by_line;
  ASSERT_VALUE(const auto whole, shift({"--rate", "2"}, {file, "TIME_CHAOS_OFFSET=2h"}));
  EXPECT_EQ(member(whole, "map"), "rate 2") << "no offset beside it: " << whole;
  ASSERT_VALUE(const auto clocks, shift({"--clocks", "tai"}, {file}));
  EXPECT_EQ(member(clocks, "clocks").size(), 1U) << clocks;
}

TEST(Config, ErrorsNameWhereTheOptionWasGiven) {
  ConfigMap config;
  config.set("pid: 1\noffset: soon\n");
  ASSERT_PROGRAM(file, 2, {"agent", "--config", config.path()});
  EXPECT_THAT(file.err, HasSubstr("clock.yaml line 2"));
  ASSERT_PROGRAM(env, 2, {"agent", "--pid", "1"}, {{"TIME_CHAOS_OFFSET=soon"}, ""});
  EXPECT_THAT(env.err, HasSubstr("TIME_CHAOS_OFFSET"));
  ASSERT_PROGRAM(flag, 2, {"agent", "--pid", "1"}, {{"TIME_CHAOS_FREEZE=perhaps"}, ""});
  EXPECT_THAT(flag.err, HasSubstr("TIME_CHAOS_FREEZE: freeze is neither true nor false"));
  ASSERT_PROGRAM(missing, 2, {"agent", "--config", config.path() + "x"});
  EXPECT_TRUE(is_one_error_line(missing.err)) << missing.err;
}

TEST(Config, LogsAreJsonWithTheirTimeAndNothingElse) {
  ASSERT_PROGRAM(outcome, 4, {"agent", "--log-json", "--container", "none", "--offset", "1h"});
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(member(outcome.event("error"), "time").dump(), HasSubstr("Z\"")) << outcome.text();
}

// Also what is said before the command line is understood, and by whatever it is asked for.
TEST(Config, ErrorsOfTheLineAreJsonInALog) {
  const auto check = [](const Arguments& line, const std::vector<std::string>& env) {
    ASSERT_PROGRAM(outcome, 2, line, {env, ""});
    EXPECT_EQ(outcome.err, "") << outcome.text();
    ASSERT_EQ(outcome.events().size(), 1U) << outcome.text();
    EXPECT_THAT(member(outcome.event("error"), "time").dump(), HasSubstr("Z\"")) << outcome.text();
  };
  const std::vector<std::string> by_environment{"TIME_CHAOS_LOG_JSON=true"};
  for (const char* wrong : {"--no-such-option", "--config=/no/such/file"}) {
    check({"agent", wrong, "--log-json"}, {});
    check({"agent", wrong}, by_environment);
  }
  check({"no-such-command"}, by_environment);
  check({"agent", "--pid", "1", "--log-json"}, {"TIME_CHAOS_FREEZE=perhaps"});
  ASSERT_PROGRAM(text, 2, {"agent", "--no-such-option"}, {{"TIME_CHAOS_LOG_JSON=false"}, ""});
  EXPECT_TRUE(is_one_error_line(text.err)) << text.err;
  EXPECT_EQ(text.out, "");
  ASSERT_PROGRAM(its_own, 2, {"run", "--no-such-option", "--", "sh", "--log-json"});
  EXPECT_TRUE(is_one_error_line(its_own.err)) << "that is the command's: " << its_own.err;
}

TEST(Config, WhatOtherCommandsSayIsJsonWithItsTimeInALog) {
  ASSERT_VALUE(Child target, start_clock_target(clock_target("glibc")));
  const std::string pid = std::to_string(target.pid());
  ASSERT_PROGRAM(shifted, 0,
                 {"agent", "--pid", pid, "--offset", "1h", "--detach", "--engine-syscalls", "off",
                  "--log-json"});
  for (const Arguments& line : {Arguments{"set", "--pid", pid, "--offset", "2h", "--log-json"},
                                {"status", "--pid", pid, "--log-json"},
                                {"doctor", "--pid", pid, "--log-json"},
                                {"recover", "--pid", pid, "--log-json"}}) {
    ASSERT_PROGRAM(outcome, 0, line);
    ASSERT_EQ(outcome.events().size(), 1U) << outcome.text();
    EXPECT_THAT(member(outcome.events().front(), "time").dump(), HasSubstr("Z\"")) << line.front();
  }
}

TEST(Manifest, IsAnAgentsOptions) {
  ASSERT_VALUE(Child target, start_clock_target(clock_target("glibc")));
  const std::string path = fmt::format("{}tc-manifest-{}.yaml", testing::TempDir(), ::getpid());
  const auto write = [&](const std::string& offset) {
    std::ofstream(path) << "apiVersion: chaos-mesh.org/v1alpha1\nkind: TimeChaos\n"
                           "metadata:\n  name: shift-it\nspec:\n  mode: one\n  selector:\n"
                           "    labelSelectors: {app: web}\n  "
                        << offset << ": '-90m'\n  clockIds: [CLOCK_REALTIME]\n  duration: 2s\n";
  };
  write("timeOffset");
  ASSERT_PROGRAM(unresolved, 2, {"agent", "--manifest", path});
  EXPECT_THAT(unresolved.err,
              HasSubstr("line 8: spec.selector.labelSelectors needs an API server"));
  ASSERT_PROGRAM(pod, 4, {"agent", "--manifest", path, "--pod", "none"});
  EXPECT_THAT(pod.err, HasSubstr("no process of --pod none"));
  const std::string pid = std::to_string(target.pid());
  ASSERT_PROGRAM(no_pods, 2, {"agent", "--manifest", path, "--pid", pid});
  EXPECT_THAT(no_pods.err, HasSubstr("--mode chooses among pods"));
  ASSERT_VALUE(Agent agent, Agent::start({"agent", "--manifest", path, "--mode", "all", "--pid",
                                          pid, "--json"}));
  ASSERT_VALUE(const auto shifted, agent.wait_event("shifted"));
  EXPECT_EQ(member(shifted, "experiment"), "shift-it") << shifted;
  EXPECT_EQ(member(shifted, "map"), "-1h30m") << shifted;
  ASSERT_VALUE(const Outcome outcome, agent.wait());  // by its duration
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  write("timeoffset");
  ASSERT_PROGRAM(unknown, 2, {"agent", "--manifest", path, "--pod", "none"});
  EXPECT_THAT(unknown.err, HasSubstr("line 9: unknown field spec.timeoffset"));
  fs::remove(path);
}

}  // namespace
}  // namespace time_chaos::live
