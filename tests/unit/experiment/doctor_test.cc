#include "agent/experiment/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>

namespace time_chaos::experiment {
namespace {

using targets::Lockdown;
using targets::Machine;
using targets::TargetFacts;
using targets::VdsoKind;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kVdso = 0;
constexpr size_t kPtrace = 1;
constexpr size_t kBpf = 2;

constexpr uint64_t bit(int capability) {
  return uint64_t{1} << capability;
}

Status works() {
  return {};
}
Result<syscalls::BpfTrial> bpf_works() {
  syscalls::BpfTrial trial;
  trial.hooks = "fexit (loses nothing)";
  return trial;
}
Result<syscalls::BpfTrial> bpf_is_refused() {
  return fail(Exit::kNotPermitted, "lockdown (integrity), no BTF", "boot without");
}
Status is_refused() {
  return fail(Error::from_errno(EPERM, "seize 5"));
}

// Root on an ordinary Debian.
Machine roots_machine() {
  Machine machine;
  machine.kernel_release = "6.1.0-18-amd64";
  machine.architecture = "x86_64";
  machine.effective_capabilities = ~uint64_t{0};
  machine.yama_scope = 0;
  machine.lockdown = Lockdown::kNone;
  machine.btf = machine.vdso = machine.proc_matches = true;
  machine.initial_pid_namespace = machine.initial_user_namespace = true;
  return machine;
}

Machine users_machine() {
  Machine machine = roots_machine();
  machine.effective_capabilities = 0;
  machine.uid = 1000;
  return machine;
}

TargetFacts ordinary_target() {
  TargetFacts facts;
  facts.pid = 4242;
  facts.label = "4242 (payments)";
  facts.vdso = VdsoKind::kX86_64;
  facts.same_user_namespace = true;
  return facts;
}

TargetFacts refused_target() {
  TargetFacts facts = ordinary_target();
  facts.not_accessible = Error::from_errno(EACCES, "open /proc/4242/mem");
  return facts;
}

TEST(Doctor, RootsMachineWorks) {
  const auto findings = examine(roots_machine(), works, bpf_works);
  ASSERT_EQ(findings.size(), 3u);
  EXPECT_EQ(findings[kVdso].engine, "vdso detour");
  EXPECT_EQ(findings[kPtrace].engine, "syscalls: ptrace");
  EXPECT_EQ(findings[kBpf].engine, "syscalls: bpf");
  EXPECT_EQ(findings[kVdso].verdict, Verdict::kWorks);
  EXPECT_EQ(findings[kPtrace].verdict, Verdict::kWorks);
  EXPECT_EQ(findings[kBpf].verdict, Verdict::kWorks);
  EXPECT_EQ(findings[kVdso].remedy, "");
  EXPECT_EQ(findings[kBpf].why, "it was loaded: fexit (loses nothing)");
}

TEST(Doctor, WhatWasTriedDecides) {
  const auto findings = examine(roots_machine(), is_refused, bpf_works);
  EXPECT_EQ(findings[kVdso].verdict, Verdict::kNo);
  EXPECT_EQ(findings[kPtrace].verdict, Verdict::kNo);
  EXPECT_THAT(findings[kPtrace].why, HasSubstr("seize 5: Operation not permitted"));
}

TEST(Doctor, TriesOnlyOnce) {
  int tries = 0;
  const auto counted = [&]() -> Status {
    ++tries;
    return {};
  };
  (void)examine(roots_machine(), counted, bpf_works);
  EXPECT_EQ(tries, 1);
}

TEST(Doctor, RefusalsNameTheirCause) {
  Machine machine = roots_machine();
  machine.yama_scope = 3;
  EXPECT_THAT(examine(machine, is_refused, bpf_works)[kPtrace].remedy, HasSubstr("reboot"));
  machine = users_machine();
  machine.yama_scope = 2;
  EXPECT_THAT(examine(machine, is_refused, bpf_works)[kPtrace].remedy, HasSubstr("CAP_SYS_PTRACE"));
  machine = roots_machine();
  machine.seccomp_mode = 2;
  EXPECT_THAT(examine(machine, is_refused, bpf_works)[kPtrace].why, HasSubstr("seccomp"));
}

TEST(Doctor, WithoutCapabilitiesTheReachIsLimited) {
  Machine machine = users_machine();
  auto finding = examine(machine, works, bpf_works)[kPtrace];
  EXPECT_EQ(finding.verdict, Verdict::kLimited);
  EXPECT_THAT(finding.why, HasSubstr("only processes of uid 1000"));
  machine.yama_scope = 1;
  finding = examine(machine, works, bpf_works)[kPtrace];
  EXPECT_EQ(finding.verdict, Verdict::kLimited);
  EXPECT_THAT(finding.why, HasSubstr("only processes that this agent starts"));
  machine.yama_scope.reset();
  EXPECT_THAT(examine(machine, works, bpf_works)[kPtrace].why,
              HasSubstr("only processes of uid 1000"));
}

TEST(Doctor, NamespacesLimitTheReach) {
  Machine machine = roots_machine();
  machine.initial_user_namespace = false;
  EXPECT_EQ(examine(machine, works, bpf_works)[kPtrace].verdict, Verdict::kLimited);
  EXPECT_THAT(examine(machine, works, bpf_works)[kVdso].why, HasSubstr("writable in the target"));
  machine = roots_machine();
  machine.proc_matches = false;
  EXPECT_EQ(examine(machine, works, bpf_works)[kPtrace].verdict, Verdict::kLimited);
  machine = roots_machine();
  machine.initial_pid_namespace = false;
  EXPECT_EQ(examine(machine, works, bpf_works)[kPtrace].verdict, Verdict::kWorks);
  EXPECT_THAT(examine(machine, works, bpf_works)[kPtrace].why, HasSubstr("of this pid namespace"));
}

TEST(Doctor, MapFilesNeedsOneOfTwoCapabilities) {
  Machine machine = roots_machine();
  machine.effective_capabilities = bit(CAP_SYS_PTRACE);
  EXPECT_THAT(examine(machine, works, bpf_works)[kVdso].why, HasSubstr("writable in the target"));
  for (const int capability : {CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE}) {
    machine.effective_capabilities = bit(CAP_SYS_PTRACE) | bit(capability);
    EXPECT_THAT(examine(machine, works, bpf_works)[kVdso].why,
                Not(HasSubstr("writable in the target")));
  }
}

TEST(Doctor, MachinesWithoutAVdsoWeKnow) {
  Machine machine = roots_machine();
  machine.vdso = false;
  EXPECT_EQ(examine(machine, works, bpf_works)[kVdso].verdict, Verdict::kNo);
  EXPECT_EQ(examine(machine, works, bpf_works)[kPtrace].verdict, Verdict::kWorks);
  machine = roots_machine();
  machine.architecture = "aarch64";
  EXPECT_EQ(examine(machine, works, bpf_works)[kVdso].verdict, Verdict::kNo);
}

TEST(Doctor, BpfSaysWhatBecameOfTheTrial) {
  Finding finding = examine(roots_machine(), works, bpf_is_refused)[kBpf];
  EXPECT_EQ(finding.verdict, Verdict::kNo);
  EXPECT_EQ(finding.why, "lockdown (integrity), no BTF");
  EXPECT_EQ(finding.remedy, "boot without");
  Machine machine = roots_machine();
  machine.lockdown = Lockdown::kUnknown;
  EXPECT_THAT(examine(machine, works, bpf_is_refused)[kBpf].why, HasSubstr("lockdown unknown"));

  finding = examine(machine, works, [] {
    syscalls::BpfTrial trial{
        "sys_exit tracepoint (loses readings)", true, "none", "no", "old", "", "mount it", {"a"}};
    return Result<syscalls::BpfTrial>(trial);
  })[kBpf];
  EXPECT_EQ(finding.verdict, Verdict::kLimited);
  EXPECT_THAT(finding.why, HasSubstr("raw time() calls are not shifted; targets may set the"));
  EXPECT_THAT(finding.details, ElementsAre("time(): no", "guard: none", "waits: old",
                                           "--detach: mount it", "refused: a"));

  finding = examine(machine, works, [] {
    syscalls::BpfTrial trial;
    trial.no_left = "unknown";
    return Result<syscalls::BpfTrial>(trial);
  })[kBpf];
  EXPECT_THAT(finding.why, HasSubstr("what is left of waits may be real"));
  EXPECT_THAT(finding.details, Contains("left of waits: unknown"));
}

TEST(DoctorTarget, AnOrdinaryOneWorks) {
  const auto findings = examine(roots_machine(), ordinary_target());
  ASSERT_EQ(findings.size(), 3u);
  EXPECT_EQ(findings[kVdso].verdict, Verdict::kWorks);
  EXPECT_EQ(findings[kPtrace].verdict, Verdict::kWorks);
  EXPECT_EQ(findings[kBpf].verdict, Verdict::kWorks);
}

TEST(DoctorTarget, WhatCanNeverBeATargetIsRefusedByEveryEngine) {
  TargetFacts facts = ordinary_target();
  facts.not_targetable =
      Error(Exit::kNotPermitted, "already traced by gdb (pid 81)", "detach it and try again");
  for (const Finding& finding : examine(roots_machine(), facts)) {
    EXPECT_EQ(finding.verdict, Verdict::kNo) << finding.engine;
  }
  EXPECT_EQ(examine(roots_machine(), facts)[kPtrace].why, "already traced by gdb (pid 81)");
  EXPECT_EQ(examine(roots_machine(), facts)[kPtrace].remedy, "detach it and try again");
}

TEST(DoctorTarget, ARefusalNamesItsLikelyCause) {
  const auto why = [](const Machine& machine, const TargetFacts& facts) {
    const auto findings = examine(machine, facts);
    EXPECT_EQ(findings[kVdso].verdict, Verdict::kNo);
    EXPECT_EQ(findings[kPtrace].verdict, Verdict::kNo);
    return findings[kPtrace].why + "; " + findings[kPtrace].remedy;
  };
  TargetFacts facts = refused_target();
  EXPECT_THAT(why(users_machine(), facts), HasSubstr("it runs as uid 0, this agent as 1000"));
  facts.uid = 1000;
  EXPECT_THAT(why(users_machine(), facts), HasSubstr("not dumpable"));
  Machine machine = users_machine();
  machine.yama_scope = 1;
  EXPECT_THAT(why(machine, facts), HasSubstr("kernel.yama.ptrace_scope is 1"));
  machine.yama_scope = 3;
  EXPECT_THAT(why(machine, facts), HasSubstr("reboot"));
  facts.same_user_namespace = false;
  EXPECT_THAT(why(roots_machine(), facts), HasSubstr("user namespace of its own"));
  facts.same_user_namespace = true;
  EXPECT_THAT(why(roots_machine(), facts), HasSubstr("SELinux"));
}

TEST(DoctorTarget, VdsoKinds) {
  TargetFacts facts = ordinary_target();
  for (const auto kind : {VdsoKind::kI386, VdsoKind::kX32}) {
    facts.vdso = kind;
    EXPECT_EQ(examine(roots_machine(), facts)[kVdso].verdict, Verdict::kNo);
    EXPECT_EQ(examine(roots_machine(), facts)[kPtrace].verdict, Verdict::kNo);
  }
  for (const auto kind : {VdsoKind::kAbsent, VdsoKind::kOther, VdsoKind::kUnread}) {
    facts.vdso = kind;
    EXPECT_EQ(examine(roots_machine(), facts)[kVdso].verdict, Verdict::kNo);
    EXPECT_EQ(examine(roots_machine(), facts)[kPtrace].verdict, Verdict::kWorks);
  }
}

TEST(DoctorTarget, SeccompLimitsTheDetour) {
  TargetFacts facts = ordinary_target();
  facts.seccomp_mode = 2;
  facts.seccomp_filters = 3;
  auto findings = examine(roots_machine(), facts);
  EXPECT_EQ(findings[kVdso].verdict, Verdict::kLimited);
  EXPECT_THAT(findings[kVdso].why, HasSubstr("3 seccomp filters"));
  EXPECT_EQ(findings[kPtrace].verdict, Verdict::kWorks);
  facts.seccomp_mode = 1;
  EXPECT_EQ(examine(roots_machine(), facts)[kVdso].verdict, Verdict::kNo);
}

// On processes: one that this test makes, and one that cannot be (above PID_MAX_LIMIT).
TEST(Doctor, ExaminesProcesses) {
  const pid_t child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  const std::array<pid_t, 2> pids = {child, std::numeric_limits<pid_t>::max()};
  const Diagnosis diagnosis = examine(roots_machine(), works, bpf_works, pids);
  const Diagnosis refused = examine(roots_machine(), is_refused, bpf_works, pids);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);

  ASSERT_EQ(diagnosis.machine.size(), 3u);
  ASSERT_EQ(diagnosis.targets.size(), 2u);
  EXPECT_THAT(diagnosis.targets[0].label, HasSubstr(std::to_string(child) + " ("));
  ASSERT_EQ(diagnosis.targets[0].findings.size(), 3u);
  EXPECT_NE(diagnosis.targets[0].findings[kVdso].verdict, Verdict::kNo);
  EXPECT_EQ(diagnosis.targets[0].findings[kPtrace].verdict, Verdict::kWorks);
  ASSERT_EQ(diagnosis.targets[1].findings.size(), 3u);
  EXPECT_EQ(diagnosis.targets[1].findings[kVdso].verdict, Verdict::kNo);
  EXPECT_EQ(diagnosis.targets[1].findings[kVdso].why, "no process 2147483647");

  // What the machine refuses, no target allows.
  EXPECT_EQ(refused.targets[0].findings[kPtrace].verdict, Verdict::kNo);
  EXPECT_THAT(refused.targets[0].findings[kPtrace].why, HasSubstr("seize 5"));
}

}  // namespace
}  // namespace time_chaos::experiment
