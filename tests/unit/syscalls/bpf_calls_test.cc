// Every call that the BPF programs shift, under every family of hooks that this kernel loads. Where
// it loads none the tests are skipped; tests/vm runs them on the kernels that do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <random>

#include "agent/clock/map_plan.h"
#include "agent/clock/rate_map.h"
#include "agent/syscalls/bpf_probe.h"
#include "bpf_target.h"

namespace time_chaos::testing {
namespace {

using syscalls::ExitHook;
using syscalls::Hooks;

constexpr int64_t kHour = 3600;

// The host's clock, read before the child becomes a target and inherited by it: what it reads may
// be some seconds later.
bool is_shifted(int64_t seconds, int64_t host) {
  return seconds >= host + kHour && seconds < host + kHour + 60;
}
bool is_host(int64_t seconds, int64_t host) {
  return seconds >= host - 1 && seconds < host + 60;
}

int64_t host_seconds(int clock = CLOCK_REALTIME) {
  timespec now{};
  ::syscall(SYS_clock_gettime, clock, &now);
  return now.tv_sec;
}

// A function exit or a return probe per kernel function, or one tracepoint.
class BpfCalls : public ::testing::TestWithParam<ExitHook> {
 protected:
  void SetUp() override {
    const bool probes = GetParam() == ExitHook::kReturnProbe;
    SharedEngine& shared = engines_[GetParam()];
    const auto& loaded = shared.get({GetParam(), true, probes, "", false});
    if (!loaded) GTEST_SKIP() << loaded.error().line();
    engine_ = &*loaded;
    page_ = shared.next_page();
    engine_->shift(page_, kHour);
  }
  static void TearDownTestSuite() { engines_.clear(); }
  [[nodiscard]] syscalls::BpfCounts counts() const { return engine_->state().counts(page_); }
  const LoadedEngine* engine_ = nullptr;
  uint32_t page_ = 0;

 private:
  static std::map<ExitHook, SharedEngine> engines_;
};
std::map<ExitHook, SharedEngine> BpfCalls::engines_;

TEST_P(BpfCalls, ClockGettimeByClock) {
  const int64_t host = host_seconds();
  const int64_t host_mono = host_seconds(CLOCK_MONOTONIC);
  EXPECT_EQ(run_as_target(*engine_, page_,
                          [&] {
                            if (!is_shifted(host_seconds(), host)) return 1;
                            if (!is_shifted(host_seconds(CLOCK_REALTIME_COARSE), host)) return 2;
                            if (!is_shifted(host_seconds(CLOCK_REALTIME_ALARM), host)) return 3;
                            if (!is_host(host_seconds(CLOCK_MONOTONIC), host_mono)) return 4;
                            return 0;
                          }),
            0);
  EXPECT_EQ(counts()[CLOCK_REALTIME].done, 1U);
  EXPECT_EQ(counts()[CLOCK_REALTIME_COARSE].done, 1U);
  EXPECT_EQ(counts()[CLOCK_MONOTONIC].done, 0U) << "shown as it is";
  EXPECT_TRUE(is_host(host_seconds(), host)) << "others are left alone";
}

TEST_P(BpfCalls, TheOthers) {
  const int64_t host = host_seconds();
  EXPECT_EQ(run_as_target(*engine_, page_,
                          [&] {
                            timeval tv{};
                            struct timezone zone {
                              77, 77
                            };
                            ::syscall(SYS_gettimeofday, &tv, &zone);
                            if (!is_shifted(tv.tv_sec, host) || zone.tz_dsttime == 77) return 1;
                            if (tv.tv_usec < 0 || tv.tv_usec >= 1'000'000) return 2;
                            if (::syscall(SYS_gettimeofday, nullptr, &zone) != 0) return 3;
                            timex adjust{};
                            if (::syscall(SYS_adjtimex, &adjust) < 0) return 4;
                            if (!is_shifted(adjust.time.tv_sec, host)) return 5;
                            adjust = {};
                            if (::syscall(SYS_clock_adjtime, CLOCK_REALTIME, &adjust) < 0) return 6;
                            return is_shifted(adjust.time.tv_sec, host) ? 0 : 7;
                          }),
            0);
  EXPECT_EQ(counts()[CLOCK_REALTIME].done, 3U);
  EXPECT_EQ(counts()[CLOCK_REALTIME].refused, 0U);
}

TEST_P(BpfCalls, SysinfoFollowsBoottime) {
  clock::ClockMaps maps = clock::identity_maps();
  maps[CLOCK_BOOTTIME].fake_sec = kHour;
  engine_->put(page_, maps);
  EXPECT_EQ(run_as_target(*engine_, page_,
                          [] {
                            struct sysinfo info {};
                            if (::syscall(SYS_sysinfo, &info) != 0) return 1;
                            const int64_t boot = host_seconds(CLOCK_BOOTTIME);
                            return info.uptime >= boot && info.uptime <= boot + 1 &&
                                           info.uptime >= kHour
                                       ? 0
                                       : 2;
                          }),
            0);
}

TEST_P(BpfCalls, AFailingCallLeavesTheBufferAlone) {
  EXPECT_EQ(run_as_target(*engine_, page_,
                          [] {
                            timespec untouched{77, 77};
                            for (const int clock : {12, 31, -1, 1 << 30}) {
                              if (::syscall(SYS_clock_gettime, clock, &untouched) != -1) return 1;
                            }
                            if (untouched.tv_sec != 77 || untouched.tv_nsec != 77) return 2;
                            // NOLINTNEXTLINE(performance-no-int-to-ptr)
                            auto* nowhere = reinterpret_cast<timespec*>(8);
                            if (::syscall(SYS_clock_gettime, 0, nowhere) != -1) return 3;
                            return errno == EFAULT ? 0 : 4;
                          }),
            0);
  for (const tc_bpf_count& count : counts()) EXPECT_EQ(count.done + count.refused, 0U);
}

TEST_P(BpfCalls, TheUpperHalfOfAClockIdIsIgnored) {
  const int64_t host = host_seconds();
  EXPECT_EQ(run_as_target(*engine_, page_,
                          [&] {
                            timespec now{};
                            raw_call(SYS_clock_gettime, int64_t{1} << 32,
                                     reinterpret_cast<int64_t>(&now));
                            return is_shifted(now.tv_sec, host) ? 0 : 1;
                          }),
            0);
}

TEST_P(BpfCalls, CallsFromInsideADetouredVdsoAreLeftToTheDetour) {
  const int64_t host = host_seconds();
  SharedMemory shared;
  Target child([&] {
    while (shared->phase == 0) pause_for(1);
    timespec now{};
    raw_call(SYS_clock_gettime, 0, reinterpret_cast<int64_t>(&now));
    if (!is_host(now.tv_sec, host)) return 1;
    return is_shifted(host_seconds(), host) ? 0 : 2;  // by libc's syscall(), which is elsewhere
  });
  const auto here = reinterpret_cast<uint64_t>(&raw_call);
  ASSERT_TRUE(engine_->enter(child.pid(), page_, here, here + 64));
  shared->phase = 1;
  EXPECT_EQ(WEXITSTATUS(child.wait()), 0);
}

TEST_P(BpfCalls, AMapThatIsOverShowsRealTime) {
  clock::ClockMaps maps = shifted_maps(kHour * 1'000'000'000);
  for (tc_clock_map& map : maps) map.until_sec = 1;
  engine_->put(page_, maps);
  const int64_t host = host_seconds();
  EXPECT_EQ(run_as_target(*engine_, page_, [&] { return is_host(host_seconds(), host) ? 0 : 1; }),
            0);
}

// Rates, and schedules in which something happens every few seconds.
clock::ClockMaps random_course(std::mt19937_64& random, clock::Reading now) {
  const auto below = [&](uint64_t bound) { return static_cast<int64_t>(random() % bound); };
  const auto either = [&](uint64_t bound) {
    return below(2 * bound) - static_cast<int64_t>(bound);
  };
  clock::ClockMaps maps = clock::identity_maps();
  const clock::Reading anchor = clock::plus(now, std::chrono::nanoseconds(either(60'000'000'000)));
  tc_clock_map& map = maps[CLOCK_MONOTONIC];
  map = clock::make_rate_map_fixed(anchor, {1'000'000 + below(1'000'000'000), below(1'000'000'000)},
                                   either(uint64_t{3} << 32));
  clock::set_rate_before(map, either(uint64_t{3} << 32));
  if (below(4) != 0) map.kind = TC_MAP_SCHEDULE;
  tc_clock_table& table = maps.table;
  uint64_t at = 0;
  for (tc_segment& segment : table.segments) {
    segment = {at, either(3'600'000'000'000), either(uint64_t{2} << 32)};
    at += static_cast<uint64_t>(1 + below(9'000'000'000));
  }
  table.horizon = below(8) == 0 ? at / 2 : uint64_t{1} << 61;
  if (below(2) == 0) {
    table.loop_at = table.segments[below(TC_SEGMENT_COUNT)].at;
    table.period = static_cast<uint64_t>(1'000'000 + below(20'000'000'000));
    table.gain = either(10'000'000'000);
  }
  if (below(2) == 0) {
    table.jitter_seed = random();
    table.jitter_span = below(1'000'000'000);
    table.jitter_shift = static_cast<uint64_t>(30 + below(6));
  }
  return maps;
}

// The formula as the kernel's machine runs it, against the same compiled for us: between two
// readings of the vDSO, which this child's programs do not reach.
TEST_P(BpfCalls, RatesAndSchedulesShowWhatTheFormulaSays) {
  EXPECT_EQ(
      run_as_target(
          *engine_, page_,
          [&] {
            std::mt19937_64 random(5);
            for (int i = 0; i < 3000; i++) {
              timespec before{};
              timespec shown{};
              timespec after{};
              ::clock_gettime(CLOCK_MONOTONIC, &before);
              const clock::ClockMaps maps = random_course(random, {before.tv_sec, before.tv_nsec});
              engine_->put(page_, maps);
              ::clock_gettime(CLOCK_MONOTONIC, &before);
              ::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &shown);
              ::clock_gettime(CLOCK_MONOTONIC, &after);
              const clock::Reading seen{shown.tv_sec, shown.tv_nsec};
              const clock::Span span =
                  clock::shown_between(maps, CLOCK_MONOTONIC, {before.tv_sec, before.tv_nsec},
                                       {after.tv_sec, after.tv_nsec});
              if (seen < span.low || seen > span.high) return 1;
            }
            return 0;
          }),
      0);
  EXPECT_EQ(counts()[CLOCK_MONOTONIC].done, 3000U);
}

TEST_P(BpfCalls, AChangeIsSeenWholeAndAtOnce) {
  const int64_t host = host_seconds();
  SharedMemory shared;
  Target child([&] {
    while (!shared->quit) {
      const int64_t ahead = host_seconds() - host;
      const bool whole = (ahead >= kHour && ahead < kHour + 300) ||
                         (ahead >= 2 * kHour && ahead < 2 * kHour + 300);
      whole ? shared->phases[0].shifted++ : shared->phases[0].wrong++;
    }
    return 0;
  });
  ASSERT_TRUE(engine_->enter(child.pid(), page_));
  ASSERT_TRUE(eventually([&] { return shared->phases[0].shifted > 0; }));
  shared->phases[0].wrong = 0;  // what it read before it was a target
  for (int i = 0; i < 2000; i++) engine_->shift(page_, i % 2 == 0 ? 2 * kHour : kHour);
  ASSERT_TRUE(eventually([&] { return shared->phases[0].shifted > 1000; }));
  shared->quit = true;
  child.wait();
  EXPECT_EQ(shared->phases[0].wrong, 0U);
}

TEST_P(BpfCalls, TheCheckSeesWhatATargetSees) {
  const int64_t host = host_seconds();
  const auto readings = syscalls::read_through_bpf(engine_->state(), page_);
  ASSERT_TRUE(readings) << readings.error().line();
  EXPECT_TRUE(is_shifted(readings->clocks[CLOCK_REALTIME].shown.sec, host));
  EXPECT_TRUE(is_shifted(readings->gettimeofday.shown.sec, host));
  EXPECT_TRUE(is_host(readings->clocks[CLOCK_REALTIME].before.sec, host));
  EXPECT_EQ(readings->clocks[CLOCK_MONOTONIC].result, 0);
  EXPECT_EQ(counts()[CLOCK_REALTIME].done, 0U) << "the check's readings are not the target's";
  EXPECT_TRUE(engine_->state().targets().empty());
}

TEST_P(BpfCalls, NoRunWasSkipped) {
  const int64_t host = host_seconds();
  EXPECT_EQ(run_as_target(*engine_, page_,
                          [&] {
                            for (int i = 0; i < 10'000; i++) {
                              if (!is_shifted(host_seconds(), host)) return 1;
                            }
                            return 0;
                          }),
            0);
  for (const auto& program : engine_->state().misses()) {
    EXPECT_EQ(program.misses, 0U) << program.program;
  }
  EXPECT_EQ(engine_->state().hooks(), syscalls::name(GetParam()));
}

std::string hook_name(const ::testing::TestParamInfo<ExitHook>& info) {
  switch (info.param) {
    case ExitHook::kReturnProbe:
      return "ReturnProbe";
    case ExitHook::kFunctionExit:
      return "FunctionExit";
    case ExitHook::kTracepoint:
      break;
  }
  return "Tracepoint";
}
INSTANTIATE_TEST_SUITE_P(Hook, BpfCalls,
                         ::testing::Values(ExitHook::kReturnProbe, ExitHook::kFunctionExit,
                                           ExitHook::kTracepoint),
                         hook_name);

TEST(BpfTime, IsShiftedWhereTheKernelLetsIt) {
  const auto engine = LoadedEngine::load({ExitHook::kTracepoint, true, false, "", false}, true);
  if (!engine) GTEST_SKIP() << engine.error().line();
  engine->shift(0, kHour);
  ASSERT_TRUE(engine->state().shifts_time());
  const int64_t host = host_seconds();
  EXPECT_EQ(run_as_target(*engine, 0,
                          [&] {
                            time_t stored = 0;
                            const int64_t shown = ::syscall(SYS_time, &stored);
                            if (!is_shifted(shown, host) || stored != shown) return 1;
                            return is_shifted(::syscall(SYS_time, nullptr), host) ? 0 : 2;
                          }),
            0);
}

}  // namespace
}  // namespace time_chaos::testing
