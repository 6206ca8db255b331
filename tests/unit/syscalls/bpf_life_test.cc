// Targets of the BPF engine are born, exec and end; engines are pinned, found and unpinned.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "agent/syscalls/bpf_pins.h"
#include "agent/syscalls/bpf_processes.h"
#include "bpf_target.h"

namespace time_chaos::testing {
namespace {

using syscalls::BpfState;
using syscalls::ExitHook;

constexpr int64_t kHour = 3600;

int64_t seconds() {
  timespec now{};
  ::syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return now.tv_sec;
}

// Births and exec by tracepoints, or by probes of functions.
class BpfLife : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    SharedEngine& shared = engines_[GetParam()];
    const auto& loaded = shared.get({ExitHook::kTracepoint, true, GetParam(), "", false});
    if (!loaded) GTEST_SKIP() << loaded.error().line();
    engine_ = &*loaded;
    page_ = shared.next_page();
    engine_->shift(page_, kHour);
    host_ = seconds();
  }
  static void TearDownTestSuite() { engines_.clear(); }
  [[nodiscard]] bool shifted() const { return seconds() >= host_ + kHour; }
  const LoadedEngine* engine_ = nullptr;
  uint32_t page_ = 0;
  int64_t host_ = 0;

 private:
  static std::map<bool, SharedEngine> engines_;  // by their hooks
};
std::map<bool, SharedEngine> BpfLife::engines_;

TEST_P(BpfLife, ForkedChildrenAreTargetsFromTheFirstInstruction) {
  EXPECT_EQ(run_as_target(*engine_, page_,
                          [&] {
                            for (int i = 0; i < 50; i++) {
                              const pid_t child = ::fork();
                              if (child == 0) {
                                const pid_t grandchild = ::fork();
                                if (grandchild == 0) ::_exit(shifted() ? 0 : 1);
                                int status = 0;
                                ::waitpid(grandchild, &status, 0);
                                ::_exit(status == 0 && shifted() ? 0 : 1);
                              }
                              int status = 0;
                              ::waitpid(child, &status, 0);
                              if (status != 0) return 1;
                            }
                            return 0;
                          }),
            0);
  const auto counts = engine_->state().counts(page_);
  EXPECT_EQ(counts[TC_BPF_ROW_CHILDREN].done, 100U);
  EXPECT_EQ(counts[TC_BPF_ROW_CHILDREN].refused, 0U);
  EXPECT_TRUE(engine_->state().targets().empty()) << "all have ended";
}

TEST_P(BpfLife, ThreadsBelongToTheirProcess) {
  EXPECT_EQ(run_as_target(*engine_, page_,
                          [&] {
                            bool seen = false;
                            std::thread([&] { seen = shifted(); }).join();
                            return seen ? 0 : 1;
                          }),
            0);
  EXPECT_EQ(engine_->state().counts(page_)[TC_BPF_ROW_CHILDREN].done, 0U);
}

// What `program` would be told of its vDSO: a program that prints its auxiliary vector is all it
// takes.
int exit_status_of_shell(const char* script) {
  const pid_t pid = ::vfork();
  if (pid == 0) {
    ::execl("/bin/sh", "sh", "-c", script, nullptr);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status;
}

constexpr const char* kSeesNoVdso = "test -z \"$(LD_SHOW_AUXV=1 /bin/date | grep SYSINFO)\"";
constexpr const char* kSeesVdso = "test -n \"$(LD_SHOW_AUXV=1 /bin/date | grep SYSINFO)\"";

TEST_P(BpfLife, AnExecdProgramIsATargetWithoutVdso) {
  SharedMemory shared;
  Target child([&] {
    while (shared->phase == 0) pause_for(1);
    ::execlp("sleep", "sleep", "100", nullptr);
    return 1;
  });
  ASSERT_TRUE(engine_->enter(child.pid(), page_, 0x1000, 0x2000));
  shared->phase = 1;
  const auto process = syscalls::kernel_process(child.pid());
  ASSERT_TRUE(process);
  const auto execed = [&] {
    const auto entry = engine_->state().find(*process);
    return entry && (entry->flags & TC_BPF_EXECED) != 0 && entry->vdso_end == 0;
  };
  EXPECT_TRUE(eventually(execed));
  EXPECT_TRUE(eventually([&] { return state_of(child.pid()) == 'S'; })) << "asleep, not ended";
  EXPECT_EQ(run_as_target(*engine_, page_, [] { return exit_status_of_shell(kSeesNoVdso); }), 0);
  EXPECT_EQ(exit_status_of_shell(kSeesVdso), 0) << "who is no target sees it";
  const auto counts = engine_->state().counts(page_);
  EXPECT_GE(counts[TC_BPF_ROW_EXECS].done, 3U);
  EXPECT_EQ(counts[TC_BPF_ROW_EXECS].refused, 0U);
}

TEST_P(BpfLife, WhoIsAloneHasNoDescendants) {
  EXPECT_EQ(run_as_target(
                *engine_, page_,
                [&] {
                  const pid_t child = ::fork();
                  if (child == 0) ::_exit(shifted() ? 1 : 0);
                  int status = 0;
                  ::waitpid(child, &status, 0);
                  return status == 0 && shifted() ? exit_status_of_shell(kSeesVdso) : 1;
                },
                TC_BPF_ALONE),
            0);
  EXPECT_EQ(engine_->state().counts(page_)[TC_BPF_ROW_EXECS].done, 0U);
  EXPECT_TRUE(engine_->state().targets().empty());
}

TEST_P(BpfLife, AVdsoThatIsNotForUsIsLeftAlone) {
  EXPECT_EQ(run_as_target(
                *engine_, page_, [] { return exit_status_of_shell(kSeesVdso); }, TC_BPF_VDSO),
            0);
  EXPECT_EQ(engine_->state().counts(page_)[TC_BPF_ROW_EXECS].done, 0U);
}

TEST_P(BpfLife, AnEntryOfAnEarlierProcessIsNone) {
  Target child([&] { return ::pause(); });
  const auto process = syscalls::kernel_process(child.pid());
  ASSERT_TRUE(process);
  // As if that process had started earlier.
  ASSERT_TRUE(engine_->state().put(process->tgid, {1, 2, 0, 0, page_, 0}));
  EXPECT_FALSE(engine_->state().find(*process));
  ASSERT_TRUE(engine_->state().put(
      process->tgid, {process->started_first, process->started_last, 0, 0, page_, 0}));
  EXPECT_TRUE(engine_->state().find(*process));
  EXPECT_TRUE(engine_->state().drop(process->tgid));
  EXPECT_TRUE(engine_->state().drop(process->tgid)) << "not there: not an error";
}

std::string life_name(const ::testing::TestParamInfo<bool>& info) {
  return info.param ? "Probes" : "Tracepoints";
}
INSTANTIATE_TEST_SUITE_P(By, BpfLife, ::testing::Bool(), life_name);

TEST(BpfEngines, AreFoundAndOutliveTheirMakerWherePinned) {
  auto loaded = LoadedEngine::load({ExitHook::kTracepoint, true, false, "", false});
  if (!loaded) GTEST_SKIP() << loaded.error().line();
  if (const Status pins = syscalls::pins_possible(); !pins) GTEST_SKIP() << pins.error().line();
  std::optional<LoadedEngine> engine(std::move(*loaded));
  const uint32_t id = engine->state().id();
  const auto there = [id] {
    for (const BpfState& one : syscalls::running_engines()) {
      if (one.id() == id) return true;
    }
    return false;
  };
  EXPECT_TRUE(there());
  engine->shift(2, kHour);
  EXPECT_FALSE(syscalls::is_pinned(id));
  ASSERT_TRUE(syscalls::pin_links(id, engine->links()));
  EXPECT_TRUE(syscalls::is_pinned(id));
  engine.reset();
  ASSERT_TRUE(there());
  for (const BpfState& one : syscalls::running_engines()) {
    if (one.id() != id) continue;
    EXPECT_EQ(one.page_count(), kEnginePages);
    EXPECT_EQ(one.hooks(), "sys_exit tracepoint");
    const auto page = one.page(2);
    EXPECT_EQ(clock::maps_in_force(page)[CLOCK_REALTIME].fake_sec, kHour);
  }
  ASSERT_TRUE(syscalls::unpin(id));
  EXPECT_TRUE(syscalls::unpin(id)) << "not there: not an error";
  EXPECT_FALSE(syscalls::is_pinned(id));
  EXPECT_TRUE(eventually([&] { return !there(); }));
}

TEST(KernelProcesses, AreThoseOfProc) {
  const auto self = syscalls::kernel_process(::getpid());
  if (!self && self.error().kind() == Exit::kNotPermitted) GTEST_SKIP() << self.error().line();
  ASSERT_TRUE(self) << self.error().line();
  EXPECT_EQ(self->pid, ::getpid());
  EXPECT_GT(self->started_first, 0U);
  const auto all = syscalls::kernel_processes();
  ASSERT_TRUE(all);
  EXPECT_GT(all->size(), 1U);
  EXPECT_FALSE(syscalls::kernel_process(1 << 30));
}

}  // namespace
}  // namespace time_chaos::testing
