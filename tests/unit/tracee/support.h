// What the tests of the rooms above ptrace share: memory that a child writes and the test reads,
// waiting for something to become true, and what /proc says about a child.
#pragma once

#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <new>
#include <stdexcept>
#include <thread>

#include "agent/targets/process.h"
#include "tests/unit/targets/child.h"

namespace time_chaos::test {

using Child = time_chaos::testing::Child;

// Whoever may administrate the machine, and is under no filter himself (PTRACE_O_SUSPEND_SECCOMP).
inline bool may_suspend_filters() {
  constexpr int kSysAdmin = 21;
  const auto own = targets::read_status(::getpid());
  return own && (own->effective_capabilities >> kSysAdmin & 1) != 0 && own->seccomp_mode == 0;
}

using std::chrono::milliseconds;

// A T in memory that forked children share. Bigger than a page, so that no one takes it for a
// clock page.
template <typename T>
class Shared {
 public:
  Shared()
      : memory_(::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (memory_ == MAP_FAILED) throw std::runtime_error("mmap");
    new (memory_) T();
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  Shared(Shared&&) = delete;
  Shared& operator=(Shared&&) = delete;
  ~Shared() { ::munmap(memory_, kSize); }

  T* operator->() const { return static_cast<T*>(memory_); }
  T& operator*() const { return *static_cast<T*>(memory_); }

 private:
  static constexpr size_t kSize = sizeof(T) + 8192;
  void* memory_;
};

using Counter = std::atomic<uint64_t>;

// Generous: the machine may be busy. Ends as soon as the condition holds.
inline bool eventually(const std::function<bool()>& condition,
                       milliseconds patience = milliseconds(10'000)) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

inline char state_of(pid_t pid) {
  const auto status = targets::read_status(pid);
  return status ? status->state : '?';
}
inline pid_t tracer_of(pid_t pid) {
  const auto status = targets::read_status(pid);
  return status ? status->tracer : -1;
}
// Asleep in a system call of that number.
inline bool sleeps_in(pid_t pid, int64_t call) {
  const auto now = targets::read_thread_syscall(pid, pid);
  return now && !now->running && now->number == call;
}

// It goes on counting: it runs, and is not stopped.
inline bool advances(const Counter& counter) {
  const uint64_t before = counter;
  return eventually([&] { return counter > before; });
}
inline bool stands_still(const Counter& counter) {
  const uint64_t before = counter;
  std::this_thread::sleep_for(milliseconds(5));
  return counter == before;
}

[[noreturn]] inline void count_for_ever(Counter& counter) {
  for (;;) counter.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace time_chaos::test
