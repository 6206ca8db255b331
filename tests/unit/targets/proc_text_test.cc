// The captured texts of /proc: status, stat, syscall.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

using ::testing::ElementsAre;

constexpr std::string_view kStatus = R"(Name:	a) R (b\n \\  x
Umask:	0022
State:	t (tracing stop)
Tgid:	4200
Ngid:	0
Pid:	4242
PPid:	17
TracerPid:	81
Uid:	1000	1001	1002	1003
Gid:	0	0	0	0
FDSize:	256
Groups:	 
NStgid:	4200	7
NSpid:	4242	9
NSpgid:	4474	1
Kthread:	0
VmPeak:	    3060 kB
VmSize:	    3060 kB
Threads:	3
SigQ:	0/96365
SigPnd:	0000000000000001
ShdPnd:	0000000000000002
SigBlk:	0000000000010000
SigIgn:	0000000000001000
SigCgt:	ffffffffffffffff
CapInh:	0000000000000000
CapEff:	000001fffeffffff
NoNewPrivs:	0
Seccomp:	2
Seccomp_filters:	4
voluntary_ctxt_switches:	60
nonvoluntary_ctxt_switches:	5000000000
)";

// kthreadd of a 6.18, shortened; no VmSize, no NSpid (a kernel without pid namespaces).
constexpr std::string_view kKernelThread =
    "Name:\tkthreadd\nState:\tS (sleeping)\nTgid:\t2\nPid:\t2\nPPid:\t0\nTracerPid:\t0\n"
    "Uid:\t0\t0\t0\t0\nThreads:\t1\nSigIgn:\tffffffffffffffff\n";

std::string without(std::string_view text, std::string_view key) {
  std::string result(text);
  const size_t begin = result.find(std::string("\n") + std::string(key)) + 1;
  return result.erase(begin, result.find('\n', begin) + 1 - begin);
}

TEST(ProcStatus, ReadsEveryField) {
  const auto status = parse_status(kStatus);
  ASSERT_TRUE(status) << status.error().line();
  EXPECT_EQ(status->name, "a) R (b\n \\  x");
  EXPECT_EQ(status->state, 't');
  EXPECT_EQ(status->tgid, 4200);
  EXPECT_EQ(status->pid, 4242);
  EXPECT_EQ(status->parent, 17);
  EXPECT_EQ(status->tracer, 81);
  EXPECT_THAT(status->ns_pids, ElementsAre(4242, 9));
  EXPECT_EQ(status->uid, 1001u);
  EXPECT_EQ(status->pending, 1u);
  EXPECT_EQ(status->shared_pending, 2u);
  EXPECT_EQ(status->blocked, 0x10000u);
  EXPECT_EQ(status->ignored, 0x1000u);
  EXPECT_EQ(status->caught, ~uint64_t{0});
  EXPECT_EQ(status->effective_capabilities, 0x1fffeffffffu);
  EXPECT_EQ(status->threads, 3);
  EXPECT_EQ(status->seccomp_mode, 2);
  EXPECT_EQ(status->seccomp_filters, 4);
  EXPECT_FALSE(status->no_memory);
  EXPECT_EQ(status->voluntary_switches, 60u);
  EXPECT_EQ(status->involuntary_switches, 5000000000u);
}

TEST(ProcStatus, LinesThatSomeKernelsLackHaveDefaults) {
  const auto status = parse_status(kKernelThread);
  ASSERT_TRUE(status) << status.error().line();
  EXPECT_TRUE(status->no_memory);
  EXPECT_THAT(status->ns_pids, ElementsAre(2));
  EXPECT_EQ(status->seccomp_filters, 0);
}

TEST(ProcStatus, KeepsTheBlanksOfAName) {
  const std::string rest(kKernelThread.substr(kKernelThread.find('\n')));
  EXPECT_EQ(parse_status("Name:\t\t a " + rest)->name, "\t a ");
  EXPECT_EQ(parse_status("Name:\t" + rest)->name, "");
}

TEST(ProcStatus, RefusesATextWithoutTheEssentialLines) {
  for (const char* key : {"State:", "Tgid:", "Pid:", "PPid:", "TracerPid:"}) {
    EXPECT_FALSE(parse_status(without(kStatus, key))) << key;
  }
  EXPECT_FALSE(parse_status(kStatus.substr(kStatus.find('\n') + 1))) << "Name:";
  EXPECT_FALSE(parse_status(""));
}

TEST(ProcStatus, RefusesNumbersThatAreNone) {
  const std::string lines(kKernelThread);
  for (const char* bad : {"Seccomp:\t\n", "Seccomp:\t2x\n", "Threads:\t99999999999\n",
                          "SigBlk:\t-1\n", "CapEff:\tzz\n", "NSpid:\t1\tx\n", "Uid:\t0\n"}) {
    EXPECT_FALSE(parse_status(lines + bad)) << bad;
  }
}

// Field 9 is 0x400100, field 22 is 4711.
constexpr std::string_view kStat =
    "4242 (a) R 1 (b) S 17 4242 4242 0 -1 4194560 120 0 0 0 1 2 0 0 20 0 3 0 4711 3133440 438 "
    "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";

TEST(ProcStat, TheStackBeginsWhereField28Says) {
  EXPECT_EQ(parse_stack_start(kStat).error().kind(), Exit::kNotPermitted) << "it is 0";
  EXPECT_EQ(parse_stack_start("7 (x) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 "
                              "26 27 140737488347136 29\n")
                .value_or(0),
            140737488347136U);
  EXPECT_FALSE(parse_stack_start("7 (x) S 4 5 6").has_value());
  EXPECT_FALSE(parse_stack_start("").has_value());
}

TEST(ProcStat, CountsFieldsFromTheLastParenthesis) {
  const auto stat = parse_stat(kStat);
  ASSERT_TRUE(stat) << stat.error().line();
  EXPECT_EQ(stat->name, "a) R 1 (b");
  EXPECT_EQ(stat->state, 'S');
  EXPECT_EQ(stat->flags, 4194560u);
  EXPECT_EQ(stat->start_time, 4711u);
  EXPECT_FALSE(stat->kernel_thread);
  EXPECT_EQ(parse_start_time(kStat).value_or(0), 4711u);
}

TEST(ProcStat, KnowsKernelThreadsAndUnescapesNames) {
  // 2129984 = PF_KTHREAD | PF_FORKNOEXEC | PF_NOFREEZE, as kthreadd has it.
  const auto stat = parse_stat(
      "2 (x\\ny) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 12 0 0 18446744073709551615\n");
  ASSERT_TRUE(stat) << stat.error().line();
  EXPECT_TRUE(stat->kernel_thread);
  EXPECT_EQ(stat->name, "x\ny");
}

TEST(ProcStat, RefusesCutAndWrongTexts) {
  for (const char* text : {"", "1 x S 1", "1 )x( S 1", "1 (x) S 0 0 0 0 -1 2129984 0 0",
                           "1 (x) S 0 0 0 0 -1 flags 0 0 0 0 0 0 0 0 20 0 1 0 12 0",
                           "1 (x) S 0 0 0 0 -1 1 0 0 0 0 0 0 0 0 20 0 1 0 -12 0"}) {
    EXPECT_FALSE(parse_stat(text)) << text;
  }
}

TEST(ThreadSyscall, ReadsASystemCall) {
  const auto call = parse_thread_syscall(
      "281 0x3 0x7f2744791000 0x20000 0x0 0xffffffffffffffff 0x5 0x7ffeb06e5aa8 0x7f274490b2ad\n");
  ASSERT_TRUE(call) << call.error().line();
  EXPECT_FALSE(call->running);
  EXPECT_EQ(call->number, 281);
  EXPECT_THAT(call->arguments, ElementsAre(3u, 0x7f2744791000u, 0x20000u, 0u, ~uint64_t{0}, 5u));
  EXPECT_EQ(call->stack_pointer, 0x7ffeb06e5aa8u);
  EXPECT_EQ(call->instruction_pointer, 0x7f274490b2adu);
}

TEST(ThreadSyscall, ReadsTheShortForms) {
  const auto running = parse_thread_syscall("running\n");
  ASSERT_TRUE(running);
  EXPECT_TRUE(running->running);
  const auto blocked = parse_thread_syscall("-1 0x7ffe 0x5555\n");
  ASSERT_TRUE(blocked) << blocked.error().line();
  EXPECT_FALSE(blocked->running);
  EXPECT_EQ(blocked->number, -1);
  EXPECT_EQ(blocked->stack_pointer, 0x7ffeu);
  EXPECT_EQ(blocked->instruction_pointer, 0x5555u);
}

TEST(ThreadSyscall, RefusesOtherTexts) {
  for (const char* text : {"", "walking", "281", "281 0x1 0x2", "-1 0x1", "-1 1 2",
                           "0 0x1 0x2 0x3 0x4 0x5 0x6 0x7", "-1 0x1 0x2 0x3", "-1 0xg 0x2"}) {
    EXPECT_FALSE(parse_thread_syscall(text)) << text;
  }
}

}  // namespace
}  // namespace time_chaos::targets
