// What a target reads: before, while and after it is followed; which calls are left alone.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "target.h"

namespace time_chaos::testing {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// All readings of a phase, and at least some.
void expect_all_real(const Counts& counts) {
  EXPECT_GT(counts.real, 0U);
  EXPECT_EQ(counts.shifted, 0U);
  EXPECT_EQ(counts.wrong, 0U);
}
void expect_all_shifted(const Counts& counts) {
  EXPECT_GT(counts.shifted, 0U);
  EXPECT_EQ(counts.real, 0U);
  EXPECT_EQ(counts.wrong, 0U);
}

// Three phases: before, while, after; then the target must end well. In phase 3 the engine starts
// or stops: readings are of either kind.
void expect_shift_and_return(Target& target, SharedMemory& shared, int while_ms = 100) {
  const int phase = shared->phase;
  ASSERT_EQ(phase % 4, 0);
  pause_for(20);
  shared->phase = phase + 3;
  auto engine = start(target.pid());
  shared->phase = phase + 5;
  pause_for(while_ms);
  shared->phase = phase + 7;
  engine->stop();
  shared->phase = phase + 10;
  pause_for(20);
  const auto counters = engine->counters(target.pid());
  EXPECT_GE(counters.shifted, shared->phases[1].shifted);
  EXPECT_EQ(counters.failed, 0U);
  EXPECT_EQ(counters.threads, 0U);
  EXPECT_EQ(tracer_of(target.pid()), 0);
  shared->quit = true;
  EXPECT_EQ(target.wait(), 0);
  expect_all_real(shared->phases[0]);
  expect_all_shifted(shared->phases[1]);
  expect_all_real(shared->phases[2]);
  EXPECT_EQ(shared->phases[3].wrong, 0U);
}

TEST(PtraceEngine, ShiftsRawCallsOfOneThreadAndReturns) {
  SharedMemory shared;
  Target target([&] {
    read_clocks_forever(shared.get());
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 1; }));
  expect_shift_and_return(target, shared);
}

TEST(PtraceEngine, EightHotThreads) {
  SharedMemory shared;
  Target target([&] {
    in_threads(8, [&](size_t) { read_clocks_forever(shared.get()); });
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 8; }));
  expect_shift_and_return(target, shared, 500);
}

TEST(PtraceEngine, NoHotThreadStarvesAnother) {
  SharedMemory shared;
  Target target([&] {
    in_threads(8, [&](size_t i) {
      while (!shared->quit) {
        read_clocks(shared.get());
        shared->values[i]++;
      }
    });
    return 0;
  });
  auto engine = start(target.pid());
  ASSERT_TRUE(eventually([&] { return engine->counters(target.pid()).threads == 9; }));
  for (auto& value : shared->values) value = 0;
  pause_for(1000);
  int64_t least = INT64_MAX;
  int64_t most = 0;
  for (size_t i = 0; i < 8; i++) {
    least = std::min<int64_t>(least, shared->values[i]);
    most = std::max<int64_t>(most, shared->values[i]);
  }
  EXPECT_GT(least * 10, most) << least << " against " << most;
  shared->quit = true;
}

TEST(PtraceEngine, ThreadsThatComeAndGoWhileItStartsAndStops) {
  SharedMemory shared;
  Target target([&] {
    shared->ready++;
    while (!shared->quit) {
      std::thread one([&] { read_clocks(shared.get()); });
      std::thread two([&] { read_clocks(shared.get()); });
      one.join();
      two.join();
    }
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 1; }));
  shared->phase = 3;
  for (int i = 0; i < 20; i++) start(target.pid())->stop();
  shared->phase = 4;
  expect_shift_and_return(target, shared, 300);
}

// Nobody reads what it could not be given any more.
TEST(PtraceEngine, ACallOfAThreadThatIsKilledIsNoFailure) {
  constexpr int kProcesses = 150;
  SharedMemory shared;
  Target target([&] {
    while (shared->phase == 0) ::usleep(1000);
    for (int i = 0; i < kProcesses; i++) {
      const pid_t child = ::fork();
      if (child == 0) {
        for (int j = 0; j < 3; j++) {
          std::thread([&] {
            for (;;) read_clocks(shared.get());
          }).detach();
        }
        ::usleep(1000 + i * 10);
        ::_exit(0);
      }
      ::waitpid(child, nullptr, 0);
    }
    shared->ready = 1;
    while (!shared->quit) ::usleep(1000);
    return 0;
  });
  auto engine = start(target.pid());
  shared->phase = 4;
  EXPECT_TRUE(eventually([&] { return shared->ready == 1; }));
  engine->stop();
  shared->quit = true;
  EXPECT_EQ(target.wait(), 0);
  const auto counters = engine->counters(target.pid());
  EXPECT_GT(counters.shifted, static_cast<uint64_t>(kProcesses));
  EXPECT_EQ(counters.failed, 0U);
}

TEST(PtraceEngine, TheClocksWithoutAMapAndTheOtherCasesOfTheCalls) {
  SharedMemory shared;
  Target target([&] {
    while (shared->phase == 0) ::usleep(1000);
    auto* const out = shared->values;
    timespec reading{};
    const auto read = [&](int64_t id) {
      reading = {-7, -7};
      const int64_t result = raw_call(SYS_clock_gettime, id, reinterpret_cast<int64_t>(&reading));
      return result == 0 ? reading.tv_sec * kSecond + reading.tv_nsec : result;
    };
    out[0] = read(CLOCK_REALTIME);
    out[1] = read(CLOCK_MONOTONIC);
    out[2] = read(CLOCK_REALTIME_COARSE);
    out[3] = read(CLOCK_TAI);
    out[4] = read(CLOCK_BOOTTIME);
    out[5] = read(-6);  // the CPU time of this process, as clock_getcpuclockid(3) names it
    out[6] = read(99);
    out[7] = reading.tv_sec;                                  // a failing call leaves it
    out[8] = raw_call(SYS_clock_gettime, CLOCK_REALTIME, 8);  // no memory there
    // The kernel looks at 32 bits of the clock id.
    out[9] = read(int64_t{0x5500000000});
    struct timezone zone {};
    out[10] = raw_call(SYS_gettimeofday, 0, reinterpret_cast<int64_t>(&zone));
    timeval micro{};
    out[11] = raw_call(SYS_gettimeofday, reinterpret_cast<int64_t>(&micro), 0);
    out[12] = micro.tv_sec * kSecond + micro.tv_usec * 1000;
    time_t seconds = 0;
    out[13] = raw_call(SYS_time, 0);
    out[14] = raw_call(SYS_time, reinterpret_cast<int64_t>(&seconds));
    out[15] = seconds;
    out[16] = raw_call(SYS_time, 8);
    out[17] = raw_call(SYS_gettimeofday, 8, 0);
    shared->done = 1;
    return 0;
  });
  auto engine = start(target.pid());
  const auto before = clock::read_host_clocks();
  shared->phase = 1;
  ASSERT_TRUE(eventually([&] { return shared->done == 1; }));
  const auto after = clock::read_host_clocks();
  const auto nanoseconds = [](clock::Reading r) { return r.sec * kSecond + r.nsec; };
  const auto within = [&](int slot, size_t clock, int64_t offset) {
    const int64_t value = shared->values[slot] - offset;
    EXPECT_LE(nanoseconds(before[clock]), value) << "slot " << slot;
    EXPECT_GE(nanoseconds(after[clock]), value) << "slot " << slot;
  };
  const int64_t offset = kOffset * kSecond;
  within(0, CLOCK_REALTIME, offset);
  within(1, CLOCK_MONOTONIC, 0);
  within(2, CLOCK_REALTIME_COARSE, offset);
  within(3, CLOCK_TAI, offset);
  within(4, CLOCK_BOOTTIME, 0);
  EXPECT_GE(shared->values[5], 0);
  EXPECT_LT(shared->values[5], 10 * kSecond);
  EXPECT_EQ(shared->values[6], -EINVAL);
  EXPECT_EQ(shared->values[7], -7);
  EXPECT_EQ(shared->values[8], -EFAULT);
  within(9, CLOCK_REALTIME, offset);
  EXPECT_EQ(shared->values[10], 0);
  EXPECT_EQ(shared->values[11], 0);
  EXPECT_NEAR(static_cast<double>(shared->values[12]), static_cast<double>(shared->values[9]),
              10e9);
  const int64_t seconds = shared->values[0] / kSecond;
  EXPECT_NEAR(static_cast<double>(shared->values[13]), static_cast<double>(seconds), 10);
  EXPECT_GE(shared->values[14], shared->values[13]);
  EXPECT_EQ(shared->values[15], shared->values[14]);
  EXPECT_EQ(shared->values[16], -EFAULT);
  EXPECT_EQ(shared->values[17], -EFAULT);
  EXPECT_EQ(engine->counters(target.pid()).failed, 0U) << "a failing call is no failure of ours";
}

// With a fraction in the map, time() must turn over with the clock that it stands for.
TEST(PtraceEngine, TimeAgreesWithClockGettimeWhenTheOffsetHasAFraction) {
  SharedMemory shared;
  Target target([&] {
    while (!shared->quit) {
      const auto coarse = [] {
        timespec now{};
        raw_call(SYS_clock_gettime, CLOCK_REALTIME_COARSE, reinterpret_cast<int64_t>(&now));
        return now.tv_sec;
      };
      const int64_t before = coarse();
      const int64_t between = raw_call(SYS_time, 0);
      const int64_t after = coarse();
      (before <= between && between <= after ? shared->values[0] : shared->values[1])++;
    }
    return 0;
  });
  auto engine = syscalls::PtraceEngine::start({shifted_target(target.pid(), 500'000'000)});
  ASSERT_TRUE(engine) << engine.error().line();
  shared->values[1] = 0;
  pause_for(2100);
  EXPECT_EQ(shared->values[1], 0);
  EXPECT_GT(shared->values[0], 100);
  (*engine)->stop();
  shared->quit = true;
}

TEST(PtraceEngine, CallsInsideTheDetouredVdsoAreLeftAlone) {
  SharedMemory shared;
  Target target([&] {
    while (!shared->quit) {
      timespec now{};
      ::syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
      shared->values[0] = now.tv_sec;
      raw_call(SYS_clock_gettime, CLOCK_REALTIME, reinterpret_cast<int64_t>(&now));
      shared->values[1] = now.tv_sec;
      shared->done++;
    }
    return 0;
  });
  syscalls::PtraceTarget description = shifted_target(target.pid());
  // libc's syscall() stands for a vDSO; fork has left it where it is here.
  description.vdso_start = reinterpret_cast<uint64_t>(&::syscall);
  description.vdso_end = description.vdso_start + 64;
  auto engine = syscalls::PtraceEngine::start({description});
  ASSERT_TRUE(engine) << engine.error().line();
  const int seen = shared->done;
  ASSERT_TRUE(eventually([&] { return shared->done > seen + 2; }));
  const auto host = static_cast<double>(::time(nullptr));
  EXPECT_NEAR(static_cast<double>(shared->values[0]), host, 60);
  EXPECT_NEAR(static_cast<double>(shared->values[1]), host + kOffset, 60);
  (*engine)->stop();
}

// Number 201 is time to 64-bit calls, and geteuid32 to 32-bit ones.
TEST(PtraceEngine, CallsOf32BitAreLeftAlone) {
  const auto geteuid32 = [] {
    int64_t result = 0;
    asm volatile("int $0x80" : "=a"(result) : "a"(int64_t{SYS_time}) : "memory");
    return result;
  };
  const int64_t user = ::geteuid();
  Target probe([&] { return geteuid32() == user ? 0 : 1; });
  if (probe.wait() != 0) GTEST_SKIP() << "this kernel has no 32-bit system calls";
  SharedMemory shared;
  Target target([&] {
    while (!shared->quit) {
      shared->values[0] = geteuid32();
      shared->done++;
    }
    return 0;
  });
  auto engine = start(target.pid());
  const int seen = shared->done;
  ASSERT_TRUE(eventually([&] { return shared->done > seen + 2; }));
  EXPECT_EQ(shared->values[0], user);
}

// Two threads at the exit of calls into one buffer: what the first was given must not be shifted
// again for the second.
TEST(PtraceEngine, ABufferThatThreadsShareIsShiftedOnce) {
  SharedMemory shared;
  Target target([&] {
    static timespec buffer;
    in_threads(4, [&](size_t) {
      shared->ready++;
      while (!shared->quit) {
        raw_call(SYS_clock_gettime, CLOCK_REALTIME, reinterpret_cast<int64_t>(&buffer));
        const int64_t seconds = reinterpret_cast<volatile timespec&>(buffer).tv_sec;
        // A host reading that another thread's call has just left is allowed here.
        const int64_t host = shared->base / kSecond;
        if (seconds < host + kOffset + kOffset / 2) shared->phases[1].wrong++;
        if (seconds < host + kOffset / 2) shared->phases[1].shifted++;
      }
    });
    return 0;
  });
  // The base of this test: the host's wall clock, a little in the past.
  shared->base = ::time(nullptr) * kSecond;
  ASSERT_TRUE(eventually([&] { return shared->ready == 4; }));
  auto engine = start(target.pid());
  pause_for(1000);
  engine->stop();
  EXPECT_GT(shared->phases[1].shifted, 1000U);
  EXPECT_EQ(shared->phases[1].wrong, 0U);
}

}  // namespace
}  // namespace time_chaos::testing
