// What stands against the BPF engine, and how the kernel's refusals are read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>

#include "agent/syscalls/bpf_engine.h"
#include "agent/syscalls/bpf_log.h"

namespace time_chaos::syscalls {
namespace {

using targets::Lockdown;
using targets::Machine;
using ::testing::HasSubstr;

Machine roots_machine() {
  Machine machine;
  machine.effective_capabilities = ~uint64_t{0};
  machine.lockdown = Lockdown::kNone;
  machine.btf = machine.initial_user_namespace = true;
  return machine;
}

const KernelFacts kKernel{{6, 12}, Preemption::kNone, ""};

TEST(BpfObstacles, AreNoneForRoot) {
  EXPECT_TRUE(bpf_obstacles(roots_machine(), kKernel).empty());
  EXPECT_TRUE(bpf_permitted(roots_machine(), kKernel));
}

TEST(BpfObstacles, AreToldApart) {
  const auto only = [](const Machine& machine, const KernelFacts& kernel) {
    const auto obstacles = bpf_obstacles(machine, kernel);
    EXPECT_EQ(obstacles.size(), 1U);
    EXPECT_NE(obstacles.front().remedy(), "");
    EXPECT_EQ(bpf_permitted(machine, kernel).error().line(), obstacles.front().line());
    return obstacles.front().message();
  };
  Machine machine = roots_machine();
  machine.lockdown = Lockdown::kIntegrity;
  EXPECT_THAT(only(machine, kKernel), HasSubstr("lockdown (integrity)"));
  machine.lockdown = Lockdown::kConfidentiality;
  EXPECT_THAT(only(machine, kKernel), HasSubstr("lockdown (confidentiality)"));
  machine = roots_machine();
  machine.btf = false;
  EXPECT_THAT(only(machine, kKernel), HasSubstr("no BTF"));
  machine = roots_machine();
  machine.initial_user_namespace = false;
  EXPECT_THAT(only(machine, kKernel), HasSubstr("user namespace"));
  machine = roots_machine();
  machine.effective_capabilities = (uint64_t{1} << CAP_BPF) | (uint64_t{1} << CAP_PERFMON);
  EXPECT_EQ(only(machine, kKernel), "no CAP_SYS_ADMIN");
  machine.effective_capabilities = 0;
  EXPECT_EQ(only(machine, kKernel), "no CAP_SYS_ADMIN, CAP_BPF, CAP_PERFMON");
  EXPECT_THAT(only(roots_machine(), {{5, 4}, Preemption::kNone, ""}), HasSubstr("too old"));
}

TEST(BpfLog, ItsTellingLineIsTheVerdict) {
  EXPECT_EQ(telling_line("libbpf: prog 'x': BPF program load failed: Permission denied\n"
                         "libbpf: prog 'x': -- BEGIN PROG LOAD LOG --\n"
                         "0: (85) call bpf_probe_write_user#36\n"
                         "unknown func bpf_probe_write_user#36\n"
                         "processed 31 insns (limit 1000000)\n"
                         "-- END PROG LOAD LOG --\n"
                         "libbpf: prog 'x': failed to load: -1\n"
                         "libbpf: failed to load object 'clocks_bpf'\n"),
            "unknown func bpf_probe_write_user#36");
  EXPECT_EQ(telling_line("libbpf: prog 'x': failed to attach: Invalid argument\n"
                         "libbpf: failed to load object 'clocks_bpf'\n"),
            "prog 'x': failed to attach: Invalid argument");
  EXPECT_EQ(telling_line(""), "");
}

}  // namespace
}  // namespace time_chaos::syscalls
