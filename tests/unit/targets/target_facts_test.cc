#include "agent/targets/target_facts.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "child.h"

namespace time_chaos::targets {
namespace {

std::vector<uint8_t> header(uint8_t elf_class, uint16_t machine) {
  std::vector<uint8_t> bytes = {0x7f, 'E', 'L', 'F', elf_class, 1, 1};
  bytes.resize(18);
  bytes.push_back(static_cast<uint8_t>(machine & 0xff));
  bytes.push_back(static_cast<uint8_t>(machine >> 8));
  return bytes;
}

TEST(TargetFacts, TellsImagesApart) {
  EXPECT_EQ(vdso_kind(header(2, 62)), VdsoKind::kX86_64);
  EXPECT_EQ(vdso_kind(header(1, 62)), VdsoKind::kX32);
  EXPECT_EQ(vdso_kind(header(1, 3)), VdsoKind::kI386);
  EXPECT_EQ(vdso_kind(header(2, 183)), VdsoKind::kOther);  // aarch64
  EXPECT_EQ(vdso_kind(header(2, 62 + 256)), VdsoKind::kOther);
  EXPECT_EQ(vdso_kind(header(2, 0x3e00)), VdsoKind::kOther);  // 62 the other way round
  EXPECT_EQ(vdso_kind(std::vector<uint8_t>(20)), VdsoKind::kOther);
  EXPECT_EQ(vdso_kind(std::vector<uint8_t>(19)), VdsoKind::kUnread);
  EXPECT_EQ(vdso_kind({}), VdsoKind::kUnread);
}

Result<TargetFacts> facts_of(const testing::Child& child) {
  const auto process = Process::open(child.pid());
  if (!process) return fail(process.error());
  return read_target_facts(*process);
}

TEST(TargetFacts, OfAnOrdinaryProcess) {
  const testing::Child child;
  const auto facts = facts_of(child);
  ASSERT_TRUE(facts) << facts.error().line();
  EXPECT_EQ(facts->pid, child.pid());
  EXPECT_FALSE(facts->not_targetable);
  EXPECT_FALSE(facts->not_accessible);
  EXPECT_EQ(facts->vdso, VdsoKind::kX86_64);
  EXPECT_EQ(facts->uid, ::geteuid());
  EXPECT_EQ(facts->same_user_namespace, true);
}

TEST(TargetFacts, CountsSeccompFilters) {
  const auto before = read_status(::getpid());
  ASSERT_TRUE(before);
  const testing::Child child([] {
    std::array<sock_filter, 1> allow = {{{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}};
    const sock_fprog program = {1, allow.data()};
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
  });
  const auto facts = facts_of(child);
  ASSERT_TRUE(facts) << facts.error().line();
  EXPECT_EQ(facts->seccomp_mode, 2);
  EXPECT_EQ(facts->seccomp_filters, before->seccomp_filters + 1);
}

TEST(TargetFacts, SeesAnotherUserNamespace) {
  const testing::Child child([] {
    if (::unshare(CLONE_NEWUSER) != 0) ::_exit(1);
  });
  if (read_status(child.pid())->state == 'Z') GTEST_SKIP() << "may not make a user namespace here";
  const auto facts = facts_of(child);
  ASSERT_TRUE(facts) << facts.error().line();
  EXPECT_EQ(facts->same_user_namespace, false);
}

// As another user, without capabilities: asked from a child, so that this process keeps its own.
TEST(TargetFacts, SaysWhenTheKernelRefuses) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  const testing::Child target;
  const pid_t asker = ::fork();
  if (asker == 0) {
    if (::setresuid(65534, 65534, 65534) != 0) ::_exit(2);
    const auto facts = facts_of(target);
    const bool refused = facts && facts->not_accessible &&
                         facts->not_accessible->kind() == Exit::kNotPermitted &&
                         facts->vdso == VdsoKind::kUnread && !facts->same_user_namespace;
    ::_exit(refused ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(asker, &status, 0), asker);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(TargetFacts, SaysWhatCanNeverBeATarget) {
  testing::Child child;
  child.become_zombie();
  const auto facts = facts_of(child);
  ASSERT_TRUE(facts) << facts.error().line();
  ASSERT_TRUE(facts->not_targetable);
  EXPECT_EQ(facts->not_targetable->kind(), Exit::kNoTarget);
}

}  // namespace
}  // namespace time_chaos::targets
