// The file of --config from the moment on at which it was first read.
#include "agent/cli/config_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "agent/cli/agent_options.h"
#include "agent/cli/commands.h"

namespace time_chaos::cli {
namespace {

using std::chrono::hours;
using ::testing::HasSubstr;

// Remembers what it was asked.
class Recorder : public experiment::Control {
 public:
  Outcome set(clock::ClockSpec spec) override {
    offsets.push_back(spec.offset.value_or(std::chrono::nanoseconds(0)));
    return {};
  }
  experiment::Telemetry telemetry() override { return {}; }
  void end() override {}
  void complain(const Error& error) override { errors.push_back(error.line()); }

  std::vector<std::chrono::nanoseconds> offsets;
  std::vector<std::string> errors;
};

class Config : public testing::Test {
 protected:
  Config() { std::filesystem::create_directories(directory_); }
  ~Config() override { std::filesystem::remove_all(directory_); }
  void write(const std::string& text) const { std::ofstream(path_) << text; }
  // As at the start of an agent.
  void read() {
    CLI::App program;
    Chosen chosen;
    add_commands(program, chosen, given_);
    const Arguments line{"agent", "--pid", "1", "--config", path_};
    parse(program, line);
    const auto whole = complete(program, line, given_);
    ASSERT_TRUE(whole) << whole.error().line();
    AgentOptions options;
    CLI::App agent;
    add_agent_options(agent, options);
    add_config(agent);
    parse(agent, {whole->begin() + 1, whole->end()});
    clocks_ = options.clocks;
  }
  static bool readable(const ConfigWatch& watch) {
    pollfd polled{watch.fd(), POLLIN, 0};
    return ::poll(&polled, 1, 0) == 1;
  }

  // Of its own: whatever happens in it is looked at.
  std::string directory_ = testing::TempDir() + "tc-config-watch-" + std::to_string(::getpid());
  std::string path_ = directory_ + "/clock.yaml";
  Given given_;
  ClockOptions clocks_;
  Recorder control_;
};

TEST_F(Config, AChangeBetweenReadingAndWatchingIsNotLost) {
  write("offset: 1h\n");
  read();
  write("offset: 2h\n");
  const auto watch = ConfigWatch::open(given_, clocks_);
  ASSERT_TRUE(watch) << watch.error().line();
  ASSERT_TRUE(readable(**watch));
  (*watch)->attend(control_);
  EXPECT_THAT(control_.offsets, testing::ElementsAre(hours{2}));
  EXPECT_THAT(control_.errors, testing::IsEmpty());
  EXPECT_FALSE(readable(**watch));
}

TEST_F(Config, WhatHasNotChangedIsLeftAlone) {
  write("offset: 1h\n");
  read();
  const auto watch = ConfigWatch::open(given_, clocks_);
  ASSERT_TRUE(watch) << watch.error().line();
  EXPECT_FALSE(readable(**watch));
  (*watch)->attend(control_);
  EXPECT_THAT(control_.offsets, testing::IsEmpty());
}

TEST_F(Config, AFileThatCannotBeReadIsSaid) {
  write("offset: 1h\n");
  read();
  const auto watch = ConfigWatch::open(given_, clocks_);
  ASSERT_TRUE(watch) << watch.error().line();
  write(std::string((1 << 20) + 5000, ' '));
  ASSERT_TRUE(readable(**watch));
  (*watch)->attend(control_);
  EXPECT_THAT(control_.offsets, testing::IsEmpty());
  ASSERT_EQ(control_.errors.size(), 1U);
  EXPECT_THAT(control_.errors.front(), HasSubstr("the clocks stay as they are"));
  EXPECT_THAT(control_.errors.front(), HasSubstr(path_));
}

}  // namespace
}  // namespace time_chaos::cli
