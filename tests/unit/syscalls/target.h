// Processes for the engine to shift: they make raw calls and judge the results themselves, in
// memory that they share with the test.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "agent/syscalls/ptrace_engine.h"

namespace time_chaos::testing {

// What the tests shift the wall clocks by.
inline constexpr int64_t kOffset = -3600;

struct Counts {
  std::atomic<uint64_t> real, shifted, wrong;  // wrong: neither, as if shifted twice
};

// Zeroed, shared with all descendants.
struct Shared {
  int64_t base;            // REALTIME - MONOTONIC of the host, nanoseconds
  std::atomic<int> phase;  // whose Counts a reading goes to
  Counts phases[4];
  std::atomic<bool> quit;
  std::atomic<int> ready;         // threads or processes that have begun
  std::atomic<uint64_t> signals;  // that a handler has seen
  std::atomic<int> interrupted;   // EINTR, timeouts that came too early, other surprises
  std::atomic<int> done;
  std::atomic<int64_t> values[64];
};

class SharedMemory {
 public:
  SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;
  SharedMemory(SharedMemory&&) = delete;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();
  Shared* operator->() const { return shared_; }
  [[nodiscard]] Shared& get() const { return *shared_; }

 private:
  Shared* shared_;
};

// Forks; the child runs `body` and exits with what it returns. It dies with the thread that made
// it. The destructor kills and reaps it: no engine may follow it then.
class Target {
 public:
  explicit Target(const std::function<int()>& body);
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;
  Target(Target&&) = delete;
  Target& operator=(Target&&) = delete;
  ~Target();
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Reaps it; waitpid's status.
  int wait();

 private:
  pid_t pid_;
  bool reaped_ = false;
};

// One raw reading of each kind (clock_gettime, gettimeofday, time), counted in the phase in which
// they all were made, if they were.
void read_clocks(Shared& shared);
// The same until shared.quit.
void read_clocks_forever(Shared& shared);

// Runs `body` in so many threads at once, until all have returned.
void in_threads(size_t count, const std::function<void(size_t index)>& body);

// The system call instruction in place: not through libc's syscall().
int64_t raw_call(int64_t number, int64_t a = 0, int64_t b = 0, int64_t c = 0);

// Wall clocks by `nanoseconds`.
clock::ClockMaps shifted_maps(int64_t nanoseconds = kOffset * 1'000'000'000);
syscalls::PtraceTarget shifted_target(pid_t pid, int64_t nanoseconds = kOffset * 1'000'000'000);
// Starts the engine on one target, or throws.
std::unique_ptr<syscalls::PtraceEngine> start(pid_t pid);

// A child of ours that is the target's agent, to be killed; -1 and errno.
pid_t fork_agent(pid_t target);

bool eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds patience = std::chrono::seconds(20));
char state_of(pid_t pid);
pid_t tracer_of(pid_t pid);
void pause_for(int milliseconds);

}  // namespace time_chaos::testing
