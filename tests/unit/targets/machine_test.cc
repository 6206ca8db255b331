#include "agent/targets/machine.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <fstream>

#include "agent/targets/namespaces.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

TEST(Machine, LockdownIsTheOneInBrackets) {
  EXPECT_EQ(parse_lockdown("[none] integrity confidentiality\n"), Lockdown::kNone);
  EXPECT_EQ(parse_lockdown("none [integrity] confidentiality\n"), Lockdown::kIntegrity);
  EXPECT_EQ(parse_lockdown("none integrity [confidentiality]\n"), Lockdown::kConfidentiality);
  for (const char* text : {"", "none", "[", "]", "[]", "][none", "[secret]", "[unknown]"}) {
    EXPECT_EQ(parse_lockdown(text), Lockdown::kUnknown) << text;
  }
}

TEST(Machine, CapabilitiesAreBits) {
  Machine machine;
  machine.effective_capabilities = uint64_t{1} << CAP_SYS_PTRACE | uint64_t{1} << 40;
  EXPECT_TRUE(machine.has(CAP_SYS_PTRACE));
  EXPECT_TRUE(machine.has(CAP_CHECKPOINT_RESTORE));
  EXPECT_FALSE(machine.has(CAP_SYS_ADMIN));
  EXPECT_FALSE(machine.has(CAP_BPF));
  EXPECT_FALSE(machine.has(CAP_PERFMON));
}

// Against other sources of the same facts.
TEST(Machine, ReadsThisMachine) {
  const auto machine = read_machine();
  ASSERT_TRUE(machine) << machine.error().line();
  std::string release;
  std::ifstream("/proc/sys/kernel/osrelease") >> release;
  EXPECT_EQ(machine->kernel_release, release);
  EXPECT_EQ(machine->architecture, "x86_64");
  EXPECT_EQ(machine->uid, ::geteuid());
  EXPECT_EQ(machine->effective_capabilities, read_status(::getpid())->effective_capabilities);
  EXPECT_EQ(machine->btf, ::access("/sys/kernel/btf/vmlinux", F_OK) == 0);
  EXPECT_EQ(machine->vdso, ::getauxval(AT_SYSINFO_EHDR) != 0);
  EXPECT_TRUE(machine->proc_matches);
  EXPECT_EQ(machine->initial_pid_namespace,
            pid_namespace_inode(::getpid()).value_or(0) == kInitialPidNamespace);
  EXPECT_EQ(machine->yama_scope.has_value(),
            ::access("/proc/sys/kernel/yama/ptrace_scope", F_OK) == 0);
}

TEST(Machine, NamespacesOfUnknownProcessesAndKindsAreErrors) {
  const auto none = namespace_inode("2147483647", "user");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind(), Exit::kNoTarget);
  EXPECT_EQ(namespace_inode("self", "user").value_or(0),
            namespace_inode(std::to_string(::getpid()), "user").value_or(1));
}

}  // namespace
}  // namespace time_chaos::targets
