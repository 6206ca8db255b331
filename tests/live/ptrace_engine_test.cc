// The ptrace engine: clock system calls of programs that do not use the vDSO are shifted too, once,
// and the traced target lives as it did before.
#include <csignal>
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

Result<Child> start_raw() {
  TC_TRY(Child child, start_target("rawclocks"));
  TC_TRY([[maybe_unused]] const Reading first, next_reading(child, 0));
  return child;
}

// rt, gtod and time by system call; vdso through the vDSO: all shifted alike.
TEST(PtraceEngine, SystemCallsAndVdsoAgree) {
  ASSERT_VALUE(Child child, start_raw());
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  ASSERT_VALUE(HeldShift held, trace_held(child.pid(), "1h"));
  EXPECT_EQ(member(member(held.shifted, "engines"), "vdso"), "detour");
  EXPECT_EQ(member(member(held.shifted, "engines"), "syscalls"), "ptrace");
  EXPECT_STATUS(check_shift(
      child, {.expected = hours{1}, .since = held.since, .count = 10, .unshifted = {}}));
  ASSERT_VALUE(const auto set, set_offset(child.pid(), "-1h"));
  EXPECT_STATUS(check_shift(
      child, {.expected = hours{-1}, .since = host_mono_ns(), .count = 10, .unshifted = {}}));
  ASSERT_VALUE(const auto recovered, stop_agent(held.agent));
  EXPECT_STATUS(check_shift(child, {.since = host_mono_ns(), .unshifted = {}}));
  EXPECT_TRUE(
      unchanged(before, child.pid(), code_was_kept(recovered) ? Maps::kIgnored : Maps::kExact));
}

// What the vDSO engine shifts already (a libc that falls back to the system call inside the vDSO
// included) is not shifted again.
TEST(PtraceEngine, ShiftsOnce) {
  for (const char* name : {"glibc", "glibc_static", "musl_static", "go", "python"}) {
    SCOPED_TRACE(name);
    const ClockTarget& target = clock_target(name);
    if (target.missing()) continue;
    ASSERT_VALUE(Child child, start_clock_target(target));
    ASSERT_VALUE(HeldShift held, trace_held(child.pid(), "1h"));
    EXPECT_STATUS(check_shift(
        child, {.expected = hours{1}, .since = held.since, .count = 5, .unshifted = {}}));
    ASSERT_VALUE(const auto recovered, stop_agent(held.agent));
    EXPECT_STATUS(check_shift(child, {.since = host_mono_ns(), .unshifted = {}}));
  }
}

TEST(PtraceEngine, AloneItShiftsOnlySystemCalls) {
  ASSERT_VALUE(Child child, start_raw());
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  ASSERT_VALUE(HeldShift held, trace_held(child.pid(), "1h", {"--engine-vdso", "off"}));
  EXPECT_STATUS(check_shift(
      child, {.expected = hours{1}, .since = held.since, .count = 5, .unshifted = {"vdso"}}));
  ASSERT_VALUE(const Snapshot during, Snapshot::take(child.pid()));
  EXPECT_NE(during.tracer, 0);
  ASSERT_VALUE(const Outcome outcome, held.agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check_shift(child, {.since = host_mono_ns(), .unshifted = {}}));
  EXPECT_TRUE(unchanged(before, child.pid()));
}

TEST(PtraceEngine, SignalsArePassedOn) {
  ASSERT_VALUE(Child child, start_raw());
  ASSERT_VALUE(HeldShift held, trace_held(child.pid(), "1h"));
  for (int sent = 1; sent <= 20; ++sent) {
    ASSERT_STATUS(child.signal(SIGUSR1));
    int64_t seen = -1;
    for (int i = 0; i < 100 && seen < sent; ++i) {
      ASSERT_VALUE(const Reading reading, next_reading(child, 0));
      seen = reading.ns("signals") / 1'000'000'000;
    }
    ASSERT_EQ(seen, sent);
  }
  ASSERT_STATUS(child.signal(SIGTERM));  // its default action, too
  ASSERT_VALUE(const ExitStatus status, child.wait(Milliseconds{5000}));
  EXPECT_EQ(status, (ExitStatus{0, SIGTERM}));
  ASSERT_VALUE(const auto gone, held.agent.wait_event("gone"));
}

TEST(PtraceEngine, GroupStopsArePassedOn) {
  ASSERT_VALUE(Child child, start_raw());
  ASSERT_VALUE(HeldShift held, trace_held(child.pid(), "1h"));
  for (int i = 0; i < 3; ++i) {
    ASSERT_STATUS(child.signal(SIGSTOP));
    std::this_thread::sleep_for(Milliseconds{200});
    child.discard_output();
    EXPECT_FALSE(child.read_line(Milliseconds{300}).has_value()) << "it runs while stopped";
    ASSERT_STATUS(child.signal(SIGCONT));
    EXPECT_STATUS(check_shift(
        child, {.expected = hours{1}, .since = host_mono_ns(), .count = 3, .unshifted = {}}));
  }
  ASSERT_VALUE(const auto recovered, stop_agent(held.agent));
  EXPECT_STATUS(check_shift(child, {.since = host_mono_ns(), .unshifted = {}}));
}

// Threads that exist and threads that come; the timer's ticks all arrive.
TEST(PtraceEngine, ManyThreads) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"4"}, {"timer"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(Torture churn, Torture::start("churn", {}));
  churn.allow({Nanoseconds{0}, hours{1}});
  for (int i = 0; i < 3; ++i) {
    for (Torture* target : {&hot, &churn}) {
      ASSERT_VALUE(HeldShift held, trace_held(target->pid(), "1h"));
      ASSERT_STATUS(target->progress(200));
      ASSERT_VALUE(const Nanoseconds now, target->fresh_shift(host_mono_ns()));
      EXPECT_LE(std::chrono::abs(now - hours{1}), kReadingTolerance);
      ASSERT_VALUE(const auto recovered, stop_agent(held.agent));
      ASSERT_STATUS(target->progress(200));
      EXPECT_STATUS(target->healthy());
    }
  }
  EXPECT_EQ(hot.lost_ticks(), 0);
}

// The tracer dies: the target goes on untraced, its system calls on host time; recover undoes the
// rest.
TEST(PtraceEngine, AgentIsKilled) {
  ASSERT_VALUE(Child child, start_raw());
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  for (int i = 0; i < 20; ++i) {
    ASSERT_VALUE(HeldShift held, trace_held(child.pid(), "1h"));
    std::this_thread::sleep_for(std::chrono::microseconds{i * 777});
    ASSERT_VALUE(const Outcome killed, held.agent.stop(SIGKILL));
    ASSERT_VALUE(const Reading reading, next_reading(child, host_mono_ns()));
    EXPECT_LE(std::chrono::abs(reading.shift("rt")), kReadingTolerance) << reading.line();
    ASSERT_STATUS(recover_whatever(child.pid()));
    EXPECT_STATUS(check_shift(child, {.since = host_mono_ns(), .unshifted = {}}));
  }
  EXPECT_TRUE(unchanged(before, child.pid(), Maps::kIgnored));
}

// Nobody would serve the system calls of a detached experiment.
TEST(PtraceEngine, CannotBeDetached) {
  ASSERT_VALUE(Child child, start_raw());
  ASSERT_VALUE(const Outcome outcome,
               run_program(traced_arguments(child.pid(), "1h", {"--detach"})));
  EXPECT_NE(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_TRUE(is_one_error_line(outcome.err));
  EXPECT_STATUS(check_shift(child, {.unshifted = {}}));
}

}  // namespace
}  // namespace time_chaos::live
