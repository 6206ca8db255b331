// A child whose threads read the clock through its vDSO without pause and say what they saw, and
// what is needed to shift it and to see that nothing of that is left.
#pragma once

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ostream>
#include <string>
#include <vector>

#include "agent/base/files.h"
#include "agent/tracee/memory.h"
#include "agent/vdso/attach.h"
#include "agent/vdso/recover.h"
#include "tests/unit/tracee/support.h"
#include "tests/unit/vdso/fresh_stack.h"

namespace time_chaos::test {

constexpr int64_t kHour = 3600;

// What the child's threads write. Shifts are in whole seconds, as the difference of a vDSO call and
// a raw system call.
struct HotReport {
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> wild{0};  // neither real time nor an hour ahead
  std::atomic<int64_t> gettime{0};
  std::atomic<int64_t> gettimeofday{0};
  std::atomic<int64_t> time{0};
  // A word that a thread keeps on its stack while `parked`.
  std::atomic<uint64_t> word{0};
  std::atomic<bool> parked{false};
};

inline int64_t real_seconds() {
  timespec now{};
  ::syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  return now.tv_sec;
}

inline void note(HotReport& report, std::atomic<int64_t>& into, int64_t shown) {
  const int64_t shift = shown - real_seconds();
  const bool real = shift >= -2 && shift <= 2;  // a second may begin, a coarse clock be late
  const bool hour = shift >= kHour - 2 && shift <= kHour + 2;
  if (!real && !hour) ++report.wild;
  into = hour ? kHour : 0;
}

[[noreturn]] inline void read_hot(HotReport& report) {
  for (;;) {
    timespec spec{};
    timeval val{};
    if (::clock_gettime(CLOCK_REALTIME, &spec) != 0 || spec.tv_nsec < 0 ||
        spec.tv_nsec >= 1'000'000'000) {
      ++report.wild;
    }
    note(report, report.gettime, spec.tv_sec);
    if (::gettimeofday(&val, nullptr) != 0) ++report.wild;
    note(report, report.gettimeofday, val.tv_sec);
    note(report, report.time, ::time(nullptr));
    ++report.reads;
  }
}

class HotChild {
 public:
  explicit HotChild(
      int threads = 1, const std::function<void()>& first = [] {})
      : child_([this, threads, first] {
          for (int i = 1; i < threads; i++) {
            start_thread_on_fresh_stack([this] { read_hot(*report_); });
          }
          first();
          read_hot(*report_);
        }) {
    // All threads have begun: what they map they have mapped.
    (void)eventually([&] {
      return report_->reads > 100 &&
             targets::list_threads(pid()).size() == static_cast<size_t>(threads);
    });
  }

  [[nodiscard]] pid_t pid() const { return child_.pid(); }
  FreshChild& child() { return child_; }
  HotReport* operator->() { return &*report_; }

  // It is alive, reads on, and all that it reads from now on is shifted by so much.
  bool reads(int64_t shift) {
    const uint64_t before = report_->reads;
    return eventually([&] { return report_->reads > before + 10; }) && eventually([&] {
             return report_->gettime == shift && report_->gettimeofday == shift &&
                    report_->time == shift;
           });
  }

 private:
  Shared<HotReport> report_;
  FreshChild child_;
};

// A sanitizer's runtime maps memory of its own whenever it likes; what is ours is executable or
// shared.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kRuntimeMaps = true;
#else
constexpr bool kRuntimeMaps = false;
#endif

// The address space of a process: the same before an attach and after its undoing.
struct Looks {
  std::string maps;
  std::vector<uint8_t> vdso;
  bool operator==(const Looks&) const = default;
};

inline void PrintTo(const Looks& looks, std::ostream* out) {
  *out << looks.maps << looks.vdso.size() << " bytes of vDSO";
}

inline Looks looks(pid_t pid) {
  Looks looks;
  const auto mappings = targets::Mappings::read(pid);
  const auto memory = tracee::Memory::open(pid);
  if (!mappings || !memory) return looks;
  for (const auto& m : mappings->all()) {
    if (kRuntimeMaps && m.anonymous() && (m.perms == "rw-p" || m.perms == "---p")) continue;
    const bool stack = m.path == "[stack]";  // grows by itself
    looks.maps += (stack ? "" : std::to_string(m.start)) + "-" + std::to_string(m.end) + " " +
                  m.perms + " " + m.path + "\n";
    if (m.path == "[vdso]") looks.vdso = memory->read(m.start, m.size()).value();
  }
  return looks;
}

// The wall clocks, an hour ahead.
inline clock::ClockMaps hour_ahead() {
  return clock::plan_shift({clock::ClockSet::wall(), std::chrono::hours(1)}, clock::identity_maps(),
                           clock::read_host_clocks(), std::nullopt)
      ->maps;
}

inline void name_it(tc_clock_page& page) {
  std::memcpy(page.experiment, "unit", 5);
  page.clocks = clock::ClockSet::wall().bits();
}

inline Result<vdso::AttachReport> shift(pid_t pid, vdso::Detour detour = vdso::Detour::kAuto,
                                        const vdso::AttachOptions& options = {}) {
  TC_TRY(const auto memory, tracee::Memory::open(pid));
  TC_TRY(const auto plan, vdso::make_plan(pid, memory, detour));
  return vdso::attach(pid, plan, options, hour_ahead(), name_it);
}

// Whatever is in it; an empty report when nothing is.
inline Result<vdso::RecoverReport> undo(pid_t pid) {
  TC_TRY(const auto found, vdso::find_experiment(pid));
  if (!found) return vdso::RecoverReport{};
  return vdso::recover(pid, *found, false);
}

}  // namespace time_chaos::test
