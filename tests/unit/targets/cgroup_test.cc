// Control groups as this machine has them; nothing is made or moved.
#include "agent/targets/cgroup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

namespace time_chaos::targets {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// "0::/path" of version 2; empty where there is none.
std::string own_path() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "";
}

TEST(Cgroup, OfThisProcessHasItsParentAndNotItself) {
  const auto found = find_cgroup(own_path());
  if (!found) GTEST_SKIP() << "no control groups of version 2 here";
  EXPECT_NE(found->id, 0U);
  EXPECT_THAT(processes_in(*found), Not(Contains(::getpid()))) << "the agent is never a target";
  const auto directory = find_cgroup(found->directory + "/");
  ASSERT_TRUE(directory) << "its directory names it as well";
  EXPECT_EQ(directory->id, found->id);
}

TEST(Cgroup, ThatIsNoneIsRefused) {
  for (const char* path : {"/proc", "/no/such/group", "relative", ""}) {
    const auto found = find_cgroup(path);
    ASSERT_FALSE(found) << path;
    EXPECT_EQ(found.error().kind(), Exit::kNoTarget);
    EXPECT_THAT(found.error().line(), HasSubstr("/sys/fs/cgroup"));
  }
}

TEST(Cgroup, ThatIsGoneHasNoProcesses) {
  EXPECT_TRUE(processes_in({"/sys/fs/cgroup/no-such-group", 1}).empty());
}

}  // namespace
}  // namespace time_chaos::targets
