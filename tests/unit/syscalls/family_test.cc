// Children, new programs and ends of followed processes.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "target.h"

namespace time_chaos::testing {
namespace {

constexpr const char* kProbe = "TC_SYSCALLS_PROBE";

// This program, started anew with kProbe set, is a program that reads the time by raw calls, into a
// register and into memory, and exits: 0 if both are shifted, 1 if not.
__attribute__((constructor)) void probe() {
  const char* const host = ::getenv(kProbe);  // NOLINT(concurrency-mt-unsafe)
  if (host == nullptr) return;
  const int64_t wanted = std::strtoll(host, nullptr, 10) + kOffset;
  timespec now{};
  raw_call(SYS_clock_gettime, CLOCK_REALTIME, reinterpret_cast<int64_t>(&now));
  const int64_t seconds = raw_call(SYS_time);
  ::_exit(std::abs(seconds - wanted) < 60 && std::abs(now.tv_sec - wanted) < 60 ? 0 : 1);
}

struct ProbeArguments {
  std::string variable = std::string(kProbe) + "=" + std::to_string(::time(nullptr));
  std::string name = "probe";
  char* arguments[2] = {name.data(), nullptr};
  char* environment[2] = {variable.data(), nullptr};
};

[[noreturn]] void become_probe() {
  ProbeArguments probe;
  ::execve("/proc/self/exe", probe.arguments, probe.environment);
  ::_exit(9);
}

bool ended_well(pid_t pid) {
  int status = -1;
  return pid > 0 && ::waitpid(pid, &status, __WALL) == pid && status == 0;
}

// As a child forked in the middle sees it.
bool shifted_here(SharedMemory& shared) {
  return std::abs(raw_call(SYS_time) - shared->base / 1'000'000'000 - kOffset) < 60;
}

TEST(PtraceFamily, ForkedChildrenAndTheirThreads) {
  SharedMemory shared;
  shared->base = ::time(nullptr) * 1'000'000'000;
  Target target([&] {
    while (shared->phase == 0) ::usleep(1000);
    for (int i = 0; i < 100; i++) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        bool other = false;
        std::thread thread([&] { other = shifted_here(shared); });
        thread.join();
        ::_exit(other && shifted_here(shared) ? 0 : 1);
      }
      if (!ended_well(pid)) return 1;
    }
    return 0;
  });
  auto engine = start(target.pid());
  shared->phase = 1;
  EXPECT_TRUE(eventually([&] { return engine->exit_status(target.pid()).has_value(); }));
  EXPECT_EQ(engine->exit_status(target.pid()), 0);
  EXPECT_TRUE(eventually([&] { return engine->counters(target.pid()).threads == 0; }));
  EXPECT_GE(engine->counters(target.pid()).shifted, 200U);
}

// A child whose parent in /proc is not the one that made it. Two targets: the engine cannot guess.
TEST(PtraceFamily, AChildThatIsItsMakersSibling) {
  SharedMemory shared;
  shared->base = ::time(nullptr) * 1'000'000'000;
  Target other([] { return ::pause(); });
  Target target([&] {
    while (shared->phase == 0) ::usleep(1000);
    if (::syscall(SYS_clone, CLONE_PARENT | SIGCHLD, nullptr, nullptr, nullptr, 0) == 0) {
      ::usleep(20'000);
      shared->values[0] = shifted_here(shared) ? 1 : 2;
      ::_exit(0);
    }
    ::pause();
    return 0;
  });
  auto engine =
      syscalls::PtraceEngine::start({shifted_target(other.pid(), 0), shifted_target(target.pid())});
  ASSERT_TRUE(engine) << engine.error().line();
  shared->phase = 1;
  EXPECT_TRUE(eventually([&] { return shared->values[0] != 0; }));
  EXPECT_EQ(shared->values[0], 1);
  EXPECT_TRUE(eventually([&] { return (*engine)->counters(target.pid()).threads == 1; }));
  EXPECT_EQ((*engine)->counters(other.pid()).threads, 1U);
}

TEST(PtraceFamily, AShiftedProcessThatBecomesAnotherProgram) {
  SharedMemory shared;
  Target target([&] {
    while (shared->phase == 0) ::usleep(1000);
    read_clocks(shared.get());
    become_probe();
    return 0;
  });
  auto engine = start(target.pid());
  shared->phase = 1;
  EXPECT_TRUE(eventually([&] { return engine->exit_status(target.pid()).has_value(); }));
  EXPECT_EQ(engine->exit_status(target.pid()), 0);
  EXPECT_EQ(shared->phases[1].shifted, 3U);
}

// Before exec the whole address space counts as detoured vDSO: only what comes after is shifted.
std::unique_ptr<syscalls::PtraceEngine> start_all_detoured(pid_t pid) {
  syscalls::PtraceTarget target = shifted_target(pid);
  target.vdso_start = 0;
  target.vdso_end = UINT64_MAX;
  auto engine = syscalls::PtraceEngine::start({target});
  if (!engine) throw std::runtime_error(engine.error().line());
  return std::move(*engine);
}

TEST(PtraceFamily, SpawnedProgramsAreShiftedAndHaveNoDetour) {
  SharedMemory shared;
  shared->base = ::time(nullptr) * 1'000'000'000;
  Target target([&] {
    while (shared->phase == 0) ::usleep(1000);
    for (int i = 0; i < 20; i++) {
      ProbeArguments probe;
      pid_t pid = 0;  // posix_spawn: CLONE_VM | CLONE_VFORK
      if (::posix_spawn(&pid, "/proc/self/exe", nullptr, nullptr, probe.arguments,
                        probe.environment) != 0) {
        return 1;
      }
      if (!ended_well(pid)) return 2;
      if (shifted_here(shared)) return 3;  // the parent still has its detour
    }
    return 0;
  });
  auto engine = start_all_detoured(target.pid());
  shared->phase = 1;
  EXPECT_TRUE(eventually([&] { return engine->exit_status(target.pid()).has_value(); }));
  EXPECT_EQ(engine->exit_status(target.pid()), 0);
}

TEST(PtraceFamily, ExecByAnyThread) {
  for (const bool by_other_thread : {false, true}) {
    SharedMemory shared;
    Target target([&] {
      while (shared->phase == 0) ::usleep(1000);
      std::thread bystanders(
          [&] { in_threads(3, [&](size_t) { read_clocks_forever(shared.get()); }); });
      while (shared->ready < 3) ::usleep(1000);
      if (!by_other_thread) become_probe();
      std::thread([] { become_probe(); }).join();
      return 8;
    });
    auto engine = start_all_detoured(target.pid());
    shared->phase = 1;
    EXPECT_TRUE(eventually([&] { return engine->exit_status(target.pid()).has_value(); }));
    EXPECT_EQ(engine->exit_status(target.pid()), 0) << by_other_thread;
    EXPECT_EQ(shared->phases[1].shifted, 0U);
    EXPECT_TRUE(eventually([&] { return engine->counters(target.pid()).threads == 0; }));
  }
}

TEST(PtraceFamily, AVforkParentIsFollowedWhileItWaits) {
  SharedMemory shared;
  shared->base = ::time(nullptr) * 1'000'000'000;
  Target target([&] {
    // vfork by hand, the child on a stack of its own: nothing of the parent's is overwritten.
    static char stack[65536];
    static Shared* s = &shared.get();
    const pid_t pid = ::clone(
        [](void*) {
          s->ready = 1;
          while (s->phase == 0) ::usleep(1000);
          ::_exit(0);
          return 0;
        },
        stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
    const bool shifted = shifted_here(shared);
    return ended_well(pid) && shifted ? 0 : 1;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 1; }));
  ASSERT_TRUE(eventually([&] { return state_of(target.pid()) == 'D'; }));
  start(target.pid())->stop();  // it could not be stopped: let go all the same
  EXPECT_TRUE(eventually([&] { return tracer_of(target.pid()) == 0; }));
  auto engine = start(target.pid());
  shared->phase = 1;
  EXPECT_TRUE(eventually([&] { return engine->exit_status(target.pid()).has_value(); }));
  EXPECT_EQ(engine->exit_status(target.pid()), 0);
}

TEST(PtraceFamily, AKilledTargetIsReportedAndTheEngineGoesOn) {
  SharedMemory shared;
  Target other([] { return ::pause(); });
  Target target([&] {
    in_threads(4, [&](size_t) { read_clocks_forever(shared.get()); });
    return 0;
  });
  auto engine =
      syscalls::PtraceEngine::start({shifted_target(target.pid()), shifted_target(other.pid())});
  ASSERT_TRUE(engine) << engine.error().line();
  ASSERT_TRUE(eventually([&] { return shared->ready == 4; }));
  ::kill(target.pid(), SIGKILL);
  ASSERT_TRUE(eventually([&] { return (*engine)->exit_status(target.pid()).has_value(); }));
  EXPECT_EQ((*engine)->exit_status(target.pid()), SIGKILL);
  EXPECT_EQ((*engine)->counters(target.pid()).threads, 0U);
  EXPECT_EQ((*engine)->counters(other.pid()).threads, 1U);
  EXPECT_FALSE((*engine)->exit_status(other.pid()).has_value());
}

TEST(PtraceFamily, ChildrenOfTheAgentThatAreNoTargetsAreLeftToIt) {
  Target target([] { return ::pause(); });
  auto engine = start(target.pid());
  Target bystander([] { return 5; });
  pause_for(50);
  EXPECT_EQ(bystander.wait(), 5 << 8);
}

// A main thread that has ended: the process lives on in the others.
TEST(PtraceFamily, AProcessWithoutItsMainThread) {
  SharedMemory shared;
  Target target([&] {
    std::thread([&] {
      read_clocks_forever(shared.get());
      ::_exit(3);
    }).detach();
    ::syscall(SYS_exit, 0);
    return 0;
  });
  ASSERT_TRUE(eventually([&] { return shared->ready == 1 && state_of(target.pid()) == 'Z'; }));
  auto engine = start(target.pid());
  shared->phase = 1;
  EXPECT_TRUE(eventually([&] { return shared->phases[1].shifted > 10; }));
  EXPECT_EQ(shared->phases[1].real, 0U);
  engine->stop();
  shared->quit = true;
  EXPECT_EQ(target.wait(), 3 << 8);
}

}  // namespace
}  // namespace time_chaos::testing
