// The remedy that a refused agent is told: by what it has, what it could have, and what keeps it
// from it.
#include "agent/targets/permission.h"

#include <gmock/gmock.h>
#include <linux/capability.h>

namespace time_chaos::targets {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr uint64_t bit(int capability) {
  return uint64_t{1} << capability;
}
constexpr uint64_t kAll = (uint64_t{1} << 41) - 1;
constexpr uint64_t kGiven = bit(CAP_SYS_PTRACE) | bit(CAP_DAC_OVERRIDE);

Privileges agent(uint32_t uid, uint64_t effective, uint64_t bounding) {
  return {uid, effective, bounding, false};
}

TEST(ReachRemedy, OnAMachineIsRootOrTheTargetsUser) {
  EXPECT_THAT(reach_remedy(agent(1000, 0, kAll)),
              AllOf(HasSubstr("as root"), Not(HasSubstr("container"))));
}

TEST(ReachRemedy, NamesTheCapabilitiesThatAContainerLacks) {
  EXPECT_THAT(reach_remedy(agent(0, 0, 0)), HasSubstr("add SYS_PTRACE and DAC_OVERRIDE"));
  EXPECT_THAT(reach_remedy(agent(0, bit(CAP_DAC_OVERRIDE), bit(CAP_DAC_OVERRIDE))),
              HasSubstr("add SYS_PTRACE"));
  const uint64_t half = bit(CAP_SYS_PTRACE);
  EXPECT_THAT(reach_remedy(agent(0, half, half)), HasSubstr("add CAP_DAC_OVERRIDE"));
}

TEST(ReachRemedy, SaysThatAddedCapabilitiesReachRootOnly) {
  EXPECT_THAT(reach_remedy(agent(1001, 0, kGiven)), HasSubstr("runAsUser: 0"));
}

TEST(PtraceRemedy, IsTheProfileWhereThereIsOne) {
  Privileges status = agent(0, kGiven, kGiven);
  EXPECT_THAT(ptrace_remedy(status), Not(HasSubstr("seccomp")));
  status.filtered = true;
  EXPECT_THAT(ptrace_remedy(status), HasSubstr("seccomp"));
}

}  // namespace
}  // namespace time_chaos::targets
