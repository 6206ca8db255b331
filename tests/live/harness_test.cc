// The harness itself, without the program: a test that cannot fail proves nothing, so here targets
// are harmed on purpose and the harness must say so.
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <csignal>

#include "tests/live/harness/support.h"
#include "tests/live/preload/kill_counts.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

TEST(Harness, ReadsLinesAndTheEnd) {
  ASSERT_VALUE(Child child, Child::spawn({{"sh", "-c", "echo one; echo err >&2; exit 3"}, {}, {}}));
  ASSERT_VALUE(const std::string line, child.read_line(Milliseconds{5000}));
  EXPECT_EQ(line, "one");
  EXPECT_FALSE(child.read_line(Milliseconds{5000}).has_value());
  ASSERT_VALUE(const ExitStatus status, child.wait(Milliseconds{5000}));
  EXPECT_EQ(status, (ExitStatus{3, 0}));
  EXPECT_EQ(child.error_text(), "err\n");
}

TEST(Harness, TimesOut) {
  ASSERT_VALUE(Child child, Child::spawn({{"sleep", "60"}, {}, false}));
  EXPECT_FALSE(child.read_line(Milliseconds{50}).has_value());
  EXPECT_FALSE(child.wait(Milliseconds{50}).has_value());
  ASSERT_STATUS(child.signal(SIGTERM));
  ASSERT_VALUE(const ExitStatus status, child.wait(Milliseconds{5000}));
  EXPECT_EQ(status, (ExitStatus{0, SIGTERM}));
}

TEST(Harness, KillsItsChildren) {
  pid_t pid = 0;
  {
    ASSERT_VALUE(const Child child, Child::spawn({{"sleep", "60"}, {}, false}));
    pid = child.pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);  // reaped: no such process (until the pid is used again)
}

TEST(Harness, ParsesReadings) {
  const auto reading = Reading::parse("child 17 rt 12.000000005 mono 3.5 time 12");
  ASSERT_TRUE(reading.has_value());
  EXPECT_EQ(reading->ns("rt"), 12'000'000'005);
  EXPECT_EQ(reading->ns("mono"), 3'500'000'000);
  EXPECT_EQ(reading->ns("absent"), -1);
  EXPECT_FALSE(Reading::parse("rt x mono 3").has_value());
  EXPECT_FALSE(Reading::parse("").has_value());
}

// Every clock target reads host time natively, and a wrong expectation is noticed.
class EveryTarget : public testing::TestWithParam<std::string> {};

TEST_P(EveryTarget, ShowsHostTime) {
  const ClockTarget& target = clock_target(GetParam());
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  // Go opens what it waits with at its first sleep, behind the first reading.
  for (int i = 0; i < 2; ++i) {
    ASSERT_VALUE([[maybe_unused]] const Reading more, next_reading(child, 0));
  }
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  EXPECT_STATUS(check_shift(child, {}));
  EXPECT_FALSE(check_shift(child, {.expected = std::chrono::seconds{2}}).has_value());
  EXPECT_TRUE(unchanged(before, child.pid(), target.maps));
  EXPECT_FALSE(before.vdso.empty());
  EXPECT_GE(before.fds.size(), 3U);
}

std::vector<std::string> names() {
  std::vector<std::string> result;
  for (const ClockTarget& target : clock_targets()) result.push_back(target.name);
  return result;
}
INSTANTIATE_TEST_SUITE_P(Live, EveryTarget, testing::ValuesIn(names()), string_name);

TEST(Harness, SnapshotsDiffer) {
  ASSERT_VALUE(const Child one, start_target("idle", {"1"}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(one.pid()));
  Snapshot after = before;
  EXPECT_EQ(differences(before, after), "");
  after.vdso[100] = static_cast<char>(after.vdso[100] ^ 1);
  after.fds[99] = "/tmp/x";
  after.masks[one.pid()] = "ffff";
  after.maps.emplace_back("10000-11000 r-xp 00000000 00:00 0 ");
  after.maps.emplace_back("12000-13000 rw-s 00000000 00:01 7    /dev/zero (deleted)");
  for (const Maps maps : {Maps::kExact, Maps::kNoOurs}) {
    const std::string text = differences(before, after, maps);
    EXPECT_THAT(text, testing::HasSubstr("vDSO differs, first at offset 0x64"));
    EXPECT_THAT(text, testing::HasSubstr("new file descriptor 99"));
    EXPECT_THAT(text, testing::HasSubstr("signal mask"));
    EXPECT_THAT(text, testing::HasSubstr("new mapping 10000-"));
    EXPECT_THAT(text, testing::HasSubstr("/dev/zero (deleted)"));
  }
}

TEST(Harness, HotTargetChecksEveryReading) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"3"}, {"timer"}));
  ASSERT_STATUS(hot.progress(10000));
  ASSERT_VALUE(const Nanoseconds shift, hot.fresh_shift(host_mono_ns()));
  EXPECT_LT(std::abs(shift.count()), kReadingTolerance.count());
  EXPECT_STATUS(hot.healthy());
  EXPECT_EQ(hot.lost_ticks(), 0);
  hot.allow({hours{1}});  // wrong: all readings are of the host
  ASSERT_STATUS(hot.progress(1000));
  EXPECT_FALSE(hot.healthy().has_value());
  EXPECT_EQ(hot.report().bad_bits,
            static_cast<uint64_t>(LIVE_BAD_REALTIME | LIVE_BAD_GTOD | LIVE_BAD_TIME));
}

TEST(Harness, ChurnMakesThreads) {
  ASSERT_VALUE(Torture churn, Torture::start("churn", {}));
  ASSERT_STATUS(churn.progress(1000));
  EXPECT_STATUS(churn.healthy());
  EXPECT_GT(churn.report().threads_made, 0U);
}

// Seizes and stops a target; gone, it lets go (the test's thread is the tracer).
class Stopped {
 public:
  explicit Stopped(pid_t pid) : pid_(pid) {
    ok_ = ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0 &&
          ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) == 0 && next() > 0;
  }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;
  ~Stopped() { ::ptrace(PTRACE_DETACH, pid_, nullptr, nullptr); }
  [[nodiscard]] bool ok() const { return ok_; }
  // Waits for the next stop: its signal, or -1.
  int next() {
    int status = 0;
    return ::waitpid(pid_, &status, __WALL) == pid_ && WIFSTOPPED(status) ? WSTOPSIG(status) : -1;
  }
  // Runs on with none of its signals, until the next stop.
  int go_on() {
    ::ptrace(PTRACE_CONT, pid_, nullptr, nullptr);
    return next();
  }

 private:
  pid_t pid_;
  bool ok_ = false;
};

TEST(Harness, LostTicksAreSeen) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"1"}, {"timer"}));
  ASSERT_STATUS(hot.progress(1000));
  {
    Stopped stopped(hot.pid());
    ASSERT_TRUE(stopped.ok());
    int swallowed = 0;
    for (int i = 0; i < 100 && swallowed == 0; ++i) swallowed += stopped.go_on() == SIGALRM;
    ASSERT_EQ(swallowed, 1);
    ASSERT_EQ(stopped.go_on(), SIGALRM);  // the first one is gone for good now
  }
  EXPECT_GE(hot.lost_ticks(), 2);
}

struct Harm {
  const char* name;
  unsigned long long user_regs_struct::*reg;
  unsigned long long change;
  uint64_t bits;
};

class EveryRegister : public testing::TestWithParam<Harm> {};

constexpr uint64_t kSpin = 20000;  // of targets/registers.c

// While it spins every register holds a known value.
TEST_P(EveryRegister, IsChecked) {
  auto started = Torture::start("registers", {"spin"});
  if (!started && started.error().kind() == Exit::kUnsupported) GTEST_SKIP() << "no AVX";
  ASSERT_TRUE(started.has_value()) << started.error().line();
  Torture target = std::move(*started);
  ASSERT_STATUS(target.progress(100));
  ASSERT_STATUS(target.healthy());
  for (bool harmed = false; !harmed;) {
    ASSERT_STATUS(target.progress(1));
    Stopped stopped(target.pid());
    ASSERT_TRUE(stopped.ok());
    user_regs_struct registers{};
    ASSERT_EQ(::ptrace(PTRACE_GETREGS, target.pid(), nullptr, &registers), 0);
    if ((registers.eflags & 0x400) == 0) continue;  // only between load and store is DF set,
    if (registers.rcx - 1 >= kSpin - 1) continue;   // and only in the loop is it counted down
    harmed = true;
    registers.*(GetParam().reg) ^= GetParam().change;
    ASSERT_EQ(::ptrace(PTRACE_SETREGS, target.pid(), nullptr, &registers), 0);
  }
  for (int i = 0; i < 100 && target.report().bad == 0; ++i) ASSERT_STATUS(target.progress(1));
  EXPECT_EQ(target.report().bad_bits, GetParam().bits);
}
INSTANTIATE_TEST_SUITE_P(Live, EveryRegister,
                         testing::Values(Harm{"rax", &user_regs_struct::rax, 1, LIVE_BAD_REGISTER},
                                         Harm{"rdx", &user_regs_struct::rdx, 2, LIVE_BAD_REGISTER},
                                         Harm{"rsi", &user_regs_struct::rsi, 1, LIVE_BAD_REGISTER},
                                         Harm{"rdi", &user_regs_struct::rdi, 1, LIVE_BAD_REGISTER},
                                         Harm{"r8", &user_regs_struct::r8, 1, LIVE_BAD_REGISTER},
                                         Harm{"r9", &user_regs_struct::r9, 1, LIVE_BAD_REGISTER},
                                         Harm{"r10", &user_regs_struct::r10, 1, LIVE_BAD_REGISTER},
                                         Harm{"r11", &user_regs_struct::r11, 1, LIVE_BAD_REGISTER},
                                         Harm{"rbx", &user_regs_struct::rbx, 1, LIVE_BAD_REGISTER},
                                         Harm{"r15", &user_regs_struct::r15, 1, LIVE_BAD_REGISTER},
                                         Harm{"carry", &user_regs_struct::eflags, 1,
                                              LIVE_BAD_FLAGS}),
                         [](const testing::TestParamInfo<Harm>& p) { return p.param.name; });

TEST(Harness, RedZoneIsChecked) {
  auto started = Torture::start("registers", {"nanosleep"});
  if (!started && started.error().kind() == Exit::kUnsupported) GTEST_SKIP() << "no AVX";
  ASSERT_TRUE(started.has_value()) << started.error().line();
  Torture target = std::move(*started);
  for (int i = 0; i < 50 && target.report().bad == 0; ++i) {
    ASSERT_STATUS(target.progress(1));
    Stopped stopped(target.pid());
    ASSERT_TRUE(stopped.ok());
    user_regs_struct registers{};
    ASSERT_EQ(::ptrace(PTRACE_GETREGS, target.pid(), nullptr, &registers), 0);
    ASSERT_EQ(::ptrace(PTRACE_POKEDATA, target.pid(), registers.rsp - 8, 0L), 0);
  }
  ASSERT_STATUS(target.progress(2));
  EXPECT_EQ(target.report().bad_bits, static_cast<uint64_t>(LIVE_BAD_RED_ZONE));
}

class EveryKind : public testing::TestWithParam<std::string> {};

TEST_P(EveryKind, IsHealthyAlone) {
  auto started = Torture::start("registers", {GetParam()});
  if (!started && started.error().kind() == Exit::kUnsupported) GTEST_SKIP() << "no AVX";
  ASSERT_TRUE(started.has_value()) << started.error().line();
  ASSERT_STATUS(started->progress(10));
  EXPECT_STATUS(started->healthy());
}
INSTANTIATE_TEST_SUITE_P(Live, EveryKind,
                         testing::Values("spin", "timer", "nanosleep", "poll", "epoll", "futex",
                                         "pipe", "sigsuspend", "alarmread", "threads"),
                         string_name);

// A thread led out of a restartable sequence and back, as a careless agent would do it, is seen:
// the jump target is code of the vDSO tail no more than any other place outside the sequence.
TEST(Harness, BrokenSequenceIsSeen) {
  auto started = Torture::start("rseqloop", {});
  if (!started && started.error().kind() == Exit::kUnsupported) GTEST_SKIP() << "no rseq";
  ASSERT_TRUE(started.has_value()) << started.error().line();
  Torture target = std::move(*started);
  ASSERT_STATUS(target.progress(1000));
  ASSERT_STATUS(target.healthy());
  for (int i = 0; i < 50 && target.report().bad == 0; ++i) {
    Stopped stopped(target.pid());
    ASSERT_TRUE(stopped.ok());
    user_regs_struct home{};
    ASSERT_EQ(::ptrace(PTRACE_GETREGS, target.pid(), nullptr, &home), 0);
    // One step at an address where nothing is mapped: the kernel, on its way there, finds the
    // thread outside the sequence; the fault is not delivered, and it goes home.
    user_regs_struct away = home;
    away.rip = 0x10;
    away.orig_rax = ~0ULL;
    ASSERT_EQ(::ptrace(PTRACE_SETREGS, target.pid(), nullptr, &away), 0);
    ASSERT_EQ(stopped.go_on(), SIGSEGV);
    ASSERT_EQ(::ptrace(PTRACE_SETREGS, target.pid(), nullptr, &home), 0);
  }
  for (int i = 0; i < 100 && target.report().bad == 0; ++i) ASSERT_STATUS(target.progress(100));
  EXPECT_EQ(target.report().bad_bits, static_cast<uint64_t>(LIVE_BAD_RSEQ));
  EXPECT_GT(target.report().rounds, 0U);
}

TEST(Harness, KillsAtAnExactStep) {
  ASSERT_VALUE(SharedFile<kill_counts> counts, SharedFile<kill_counts>::make());
  for (int at = 0; at <= 6; ++at) {
    for (const char* when : {"before", "after"}) {
      *counts.get() = {};
      ASSERT_VALUE(Child child, Child::spawn({{target_path("steps")},
                                              {"LD_PRELOAD=" + target_path("libkillat.so"),
                                               "KILL_COUNT_FILE=" + counts.path(),
                                               "KILL_AT=" + std::to_string(at),
                                               std::string("KILL_WHEN=") + when},
                                              false}));
      ASSERT_VALUE(const ExitStatus status, child.wait(Milliseconds{5000}));
      const bool killed = at >= 1 && at <= 5;  // the target makes 5 steps
      EXPECT_EQ(status, (killed ? ExitStatus{0, SIGKILL} : ExitStatus{0, 0})) << at << when;
      EXPECT_EQ(child.unread_output(), killed ? "" : "end\n");
      EXPECT_EQ(counts->steps, killed ? static_cast<uint64_t>(at) : 5U) << at << when;
      if (killed) continue;
      EXPECT_EQ(counts->waits, 2U);
      EXPECT_EQ(counts->memory_writes, 2U);
      EXPECT_EQ(counts->ptraces, 1U);
    }
  }
}

}  // namespace
}  // namespace time_chaos::live
