// Processes that a test makes for itself and shifts: forks of the test, whose vDSO lies where the
// test's own does, and other programs, whose vDSO does not.
#pragma once

#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include "agent/targets/mappings.h"
#include "agent/vdso/attach.h"
#include "agent/vdso/find.h"
#include "agent/vdso/recover.h"
#include "tests/unit/targets/child.h"

namespace time_chaos::test {

// The body of a fork with two threads: one sleeps, one reads clocks without pause.
//
// A fork is no target for recovery: the memory that it inherits is full of addresses in the pages
// of earlier targets, and recovery takes those for return addresses.
inline void read_clocks_for_ever() {
  std::thread([] {
    timespec now{};
    for (;;) ::clock_gettime(CLOCK_REALTIME, &now);
  }).detach();
}

// Another program, past its start: its mappings change no more.
class Program {
 public:
  static constexpr const char* kAsleep = "exec sleep 600";
  static constexpr const char* kHot = "while :; do : $EPOCHREALTIME; done";

  explicit Program(std::string script = kAsleep) {
    std::string name = "bash";
    std::string option = "-c";
    char* arguments[] = {name.data(), option.data(), script.data(), nullptr};
    char* environment[] = {nullptr};
    if (::posix_spawn(&pid_, "/bin/bash", nullptr, nullptr, arguments, environment) != 0) {
      throw std::runtime_error("spawn /bin/bash");
    }
    wait_until_started(script == kAsleep);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  Program(Program&&) = delete;
  Program& operator=(Program&&) = delete;
  ~Program() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  void wait_until_started(bool asleep) const {
    constexpr uint64_t kStarted = 50'000'000;  // ns on a CPU; bash needs some 2 ms to start
    for (int i = 0; i < 5000; i++) {
      const auto stat = targets::read_stat(pid_);
      const auto run = targets::read_run_time(pid_, pid_);
      if (asleep ? stat && stat->name == "sleep" && stat->state == 'S' : run && *run > kStarted) {
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    throw std::runtime_error("bash does not start");
  }

  pid_t pid_ = -1;
};

inline Result<vdso::Found> found_in(pid_t pid) {
  TC_TRY(const auto found, vdso::find_experiment(pid));
  if (!found) return fail(Exit::kFailed, "no experiment");
  return *found;
}

// Shifts the wall clock of `pid`, and finds the experiment.
inline Result<vdso::Found> shift(pid_t pid, std::chrono::nanoseconds offset,
                                 vdso::Detour detour = vdso::Detour::kAuto,
                                 clock::ClockSet clocks = clock::ClockSet::wall()) {
  TC_TRY(const tracee::Memory memory, tracee::Memory::open(pid));
  TC_TRY(const vdso::AttachPlan plan, vdso::make_plan(pid, memory, detour));
  clock::ClockSpec spec;
  spec.clocks = clocks;
  spec.offset = offset;
  TC_TRY(const clock::MapPlan maps,
         clock::plan_shift(spec, clock::identity_maps(), clock::read_host_clocks(), std::nullopt));
  TC_CHECK(vdso::attach(pid, plan, {}, maps.maps, [&](tc_clock_page& page) {
    std::strcpy(page.experiment, "test");
    page.clocks = clocks.bits();
  }));
  return found_in(pid);
}

inline Status recover(pid_t pid) {
  TC_TRY(const vdso::Found found, found_in(pid));
  TC_CHECK(vdso::recover(pid, found, false));
  return {};
}

inline constexpr long kMseal = 462;  // not in Debian 12's headers

// From 6.10 on.
inline bool kernel_seals() {
  return ::syscall(kMseal, 0, 0, 0) == 0 || errno != ENOSYS;
}

// Seals this process's vDSO and vvar pages, as kernels built with CONFIG_MSEAL_SYSTEM_MAPPINGS do
// for every process; for good, so only in a fork.
inline bool seal_own_vdso() {
  const auto own = targets::Mappings::read(::getpid());
  bool sealed = own.has_value();
  for (const targets::Mapping& mapping : own->all()) {
    if (mapping.path != "[vdso]" && mapping.path.rfind("[vvar", 0) != 0) continue;
    sealed = sealed && ::syscall(kMseal, mapping.start, mapping.size(), 0) == 0;
  }
  return sealed;
}

// A page of our own somewhere, given back at the end.
class Occupied {
 public:
  explicit Occupied(uint64_t address)
      // NOLINTNEXTLINE(performance-no-int-to-ptr): of another process
      : at_(::mmap(reinterpret_cast<void*>(address), payload::kPageSize, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0)) {}
  Occupied(const Occupied&) = delete;
  Occupied& operator=(const Occupied&) = delete;
  Occupied(Occupied&&) = delete;
  Occupied& operator=(Occupied&&) = delete;
  ~Occupied() {
    if (at_ != MAP_FAILED) ::munmap(at_, payload::kPageSize);
  }

 private:
  void* at_;
};

}  // namespace time_chaos::test
