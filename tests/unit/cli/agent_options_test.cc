// What an agent's options ask for together.
#include "agent/cli/agent_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace time_chaos::cli {
namespace {

using ::testing::HasSubstr;

AgentOptions options(const std::string& line) {
  AgentOptions parsed;
  CLI::App app;
  add_agent_options(app, parsed);
  app.parse(line);
  return parsed;
}

TEST(AgentOptions, ModeChoosesAmongPods) {
  for (const char* targets : {"--pid 1", "--name x", "--container x"}) {
    for (const char* mode : {"--mode one", "--mode fixed --value 2"}) {
      const auto request = options(std::string(targets) + " --offset 1h " + mode).request(Given());
      ASSERT_FALSE(request) << targets << " " << mode;
      EXPECT_EQ(request.error().kind(), Exit::kUsage);
      EXPECT_THAT(request.error().line(), HasSubstr("--mode chooses among pods"));
    }
  }
  EXPECT_TRUE(options("--pid 1 --offset 1h --mode all").request(Given()));
  const auto one = options("--pod a --pod b --mode one --offset 1h").request(Given());
  ASSERT_TRUE(one) << one.error().line();
  EXPECT_EQ(one->targets.containers.size(), 1U);
}

TEST(AgentOptions, AValueThatNoModeWantsIsRefused) {
  for (const char* mode : {"", " --mode all", " --mode one"}) {
    const auto request =
        options(std::string("--pod a --pod b --offset 1h --value 2") + mode).request(Given());
    ASSERT_FALSE(request) << mode;
    EXPECT_EQ(request.error().kind(), Exit::kUsage);
    EXPECT_THAT(request.error().line(), HasSubstr("wants no --value"));
  }
}

}  // namespace
}  // namespace time_chaos::cli
