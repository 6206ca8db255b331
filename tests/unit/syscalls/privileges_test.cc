// What an agent that stays gives up.
#include "agent/syscalls/privileges.h"

#include <cap-ng.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "agent/targets/process.h"

namespace time_chaos::syscalls {
namespace {

// In a child: what is dropped does not come back.
int capabilities_left(bool seccomp, const std::function<bool(uint64_t)>& right) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (!drop_privileges({.seccomp = seccomp})) ::_exit(2);
    const auto status = targets::read_status(::getpid());
    ::_exit(status && right(status->effective_capabilities) ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

constexpr uint64_t bit(int capability) {
  return uint64_t{1} << capability;
}

TEST(Privileges, AreThoseOfRecovery) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root: there is nothing to give up";
  const auto before = targets::read_status(::getpid());
  ASSERT_TRUE(before);
  constexpr uint64_t kKept = bit(CAP_SYS_PTRACE) | bit(CAP_DAC_OVERRIDE) |
                             bit(CAP_DAC_READ_SEARCH) | bit(CAP_KILL) | bit(CAP_BPF) |
                             bit(CAP_CHECKPOINT_RESTORE) | bit(CAP_SYS_NICE);
  const uint64_t had = before->effective_capabilities;
  EXPECT_EQ(capabilities_left(false, [&](uint64_t now) { return now == (had & kKept); }), 0);
  EXPECT_EQ(capabilities_left(
                true, [&](uint64_t now) { return now == (had & (kKept | bit(CAP_SYS_ADMIN))); }),
            0);
}

// As in a container that was given SYS_ADMIN, which contains it, and not CHECKPOINT_RESTORE.
TEST(Privileges, KeepWhatStandsForSmallerOnes) {
  if (::geteuid() != 0) GTEST_SKIP() << "not root: there is nothing to give up";
  const auto before = targets::read_status(::getpid());
  ASSERT_TRUE(before);
  if ((before->effective_capabilities & bit(CAP_SYS_ADMIN)) == 0)
    GTEST_SKIP() << "no CAP_SYS_ADMIN";
  for (const unsigned lacking : {CAP_CHECKPOINT_RESTORE, CAP_BPF}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::capng_get_caps_process();
      ::capng_update(CAPNG_DROP, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED),
                     lacking);
      ::capng_apply(CAPNG_SELECT_CAPS);
      if (!drop_privileges({})) ::_exit(2);
      const auto status = targets::read_status(::getpid());
      ::_exit(status && (status->effective_capabilities & bit(CAP_SYS_ADMIN)) != 0 ? 0 : 1);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0) << lacking;
  }
}

TEST(Privileges, AreNoneForWhoHasNone) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(3);
    ::_exit(drop_privileges({}) ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace time_chaos::syscalls
