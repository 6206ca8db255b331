// The hooks run wherever a program reads its clock: in signal handlers, before main, in the runtime
// of a sanitizer (this file is compiled without any). They allocate nothing and wait for nobody.
#include "agent/library/callbacks.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

#include "agent/library/own_code.h"

namespace time_chaos::library {
namespace {

using std::memory_order_acquire;
using std::memory_order_relaxed;
using std::memory_order_release;

constexpr size_t kSlots = 4096;
constexpr std::chrono::seconds kPatience(10);

struct alignas(64) Slot {
  std::atomic<pid_t> thread;    // 0: free
  std::atomic<uint64_t> count;  // odd: inside
};

struct Below {
  int (*clock_gettime)(clockid_t, timespec*);
  int (*gettimeofday)(timeval*, void*);
  time_t (*time)(time_t*);
  int (*clock_getres)(clockid_t, timespec*);
};

// Process-wide, because a hook gets nothing but its arguments.
struct State {
  std::array<Slot, kSlots> slots;
  std::atomic<int> crowded;  // callers inside that found no slot
  std::array<Table, 2> tables;
  std::atomic<const Table*> table;
  Below below;
};
State state;  // NOLINT(*-avoid-non-const-global-variables)

struct ThreadState {
  Slot* slot;
  bool inside;
};
// In the thread's static block: nothing is allocated at first use, as it would be in other models.
[[gnu::tls_model("initial-exec")]] thread_local ThreadState self;

long raw(long number, long first = 0, long second = 0, long third = 0) {
  long result = number;
  asm volatile("syscall"
               : "+a"(result)
               : "D"(first), "S"(second), "d"(third)
               : "rcx", "r11", "memory");
  return result;
}

int raw_clock_getres(clockid_t clock, timespec* into) {
  return static_cast<int>(raw(SYS_clock_getres, clock, reinterpret_cast<long>(into)));
}
int raw_clock_gettime(clockid_t clock, timespec* into) {
  return static_cast<int>(raw(SYS_clock_gettime, clock, reinterpret_cast<long>(into)));
}

// Derived, as the payload does it.
int original_gettimeofday(timeval* into, void* zone);
time_t original_time(time_t* into);

tc_original originals = {  // NOLINT(*-avoid-non-const-global-variables): clock_gettime moves
    raw_clock_gettime, original_gettimeofday, original_time, raw_clock_getres};

int original_gettimeofday(timeval* into, void* zone) {
  if (zone != nullptr) {
    const long done = raw(SYS_gettimeofday, 0, reinterpret_cast<long>(zone));
    if (done != 0) return static_cast<int>(done);
  }
  if (into == nullptr) return 0;
  timespec now{};
  const int result = originals.clock_gettime(CLOCK_REALTIME, &now);
  if (result == 0) *into = {now.tv_sec, now.tv_nsec / 1000};
  return result;
}

time_t original_time(time_t* into) {
  timespec now{};
  const int result = originals.clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (result != 0) return result;
  if (into != nullptr) *into = now.tv_sec;
  return now.tv_sec;
}

bool is_gone(pid_t thread) {
  return raw(SYS_tgkill, raw(SYS_getpid), thread, 0) == -ESRCH;
}

// A slot for this thread; of a thread that has ended, when all are taken. nullptr: none.
[[gnu::noinline]] Slot* claim() {
  const auto me = static_cast<pid_t>(raw(SYS_gettid));
  const size_t begin = static_cast<size_t>(me) % kSlots;
  for (const bool all : {false, true}) {
    for (size_t i = 0; i < kSlots; i++) {
      Slot& slot = state.slots[(begin + i) % kSlots];
      pid_t owner = slot.thread.load(memory_order_relaxed);
      if (owner != 0 && !(all && is_gone(owner))) continue;
      if (!slot.thread.compare_exchange_strong(owner, me)) continue;
      const uint64_t count = slot.count.load(memory_order_relaxed);
      if ((count & 1) != 0) slot.count.store(count + 1, memory_order_release);  // died inside
      self.slot = &slot;
      return &slot;
    }
  }
  return nullptr;
}

// A thread's way through a callback.
class Inside {
 public:
  Inside() : slot_(self.slot) {
    self.inside = true;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (slot_ == nullptr) slot_ = claim();
    if (slot_ == nullptr) {
      state.crowded++;
    } else {
      slot_->count.store(slot_->count.load(memory_order_relaxed) + 1, memory_order_relaxed);
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  Inside(Inside&&) = delete;
  Inside& operator=(Inside&&) = delete;
  ~Inside() {
    if (slot_ == nullptr) {
      state.crowded--;
    } else {
      slot_->count.store(slot_->count.load(memory_order_relaxed) + 1, memory_order_release);
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    self.inside = false;
  }

 private:
  Slot* slot_;
};

// `Field`: the function's member in tc_functions, tc_original and Below.
template <Function F, auto Callback, auto Original, auto Next, typename... Arguments>
auto dispatch(Arguments... arguments) {
  if (self.inside) return (originals.*Original)(arguments...);
  {
    const Inside inside;
    const Table* table = state.table.load(memory_order_acquire);
    const auto callback = table->functions.*Callback;
    if (callback != nullptr) return callback(arguments..., &originals, table->data[index(F)]);
  }
  return (state.below.*Next)(arguments...);
}

// The stack is aligned anew: not every caller of a vDSO keeps to the ABI.
[[gnu::force_align_arg_pointer]] int hook_clock_gettime(clockid_t clock, timespec* into) {
  return dispatch<Function::kClockGettime, &tc_functions::clock_gettime,
                  &tc_original::clock_gettime, &Below::clock_gettime>(clock, into);
}
[[gnu::force_align_arg_pointer]] int hook_gettimeofday(timeval* into, void* zone) {
  return dispatch<Function::kGettimeofday, &tc_functions::gettimeofday, &tc_original::gettimeofday,
                  &Below::gettimeofday>(into, zone);
}
[[gnu::force_align_arg_pointer]] time_t hook_time(time_t* into) {
  return dispatch<Function::kTime, &tc_functions::time, &tc_original::time, &Below::time>(into);
}
[[gnu::force_align_arg_pointer]] int hook_clock_getres(clockid_t clock, timespec* into) {
  return dispatch<Function::kClockGetres, &tc_functions::clock_getres, &tc_original::clock_getres,
                  &Below::clock_getres>(clock, into);
}

// Reads no clock of ours: a callback may just have come into force.
int64_t real_seconds() {
  timespec now{};
  raw_clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

// Until `left` is true; false: it did not become so in time.
template <typename Left>
bool wait_until(int64_t deadline, Left left) {
  for (int round = 0; !left(); round++) {
    if (round < 100) {
      raw(SYS_sched_yield);
      continue;
    }
    if (real_seconds() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

bool wait_for_callbacks() {
  const int64_t deadline = real_seconds() + kPatience.count();
  bool all = true;
  for (Slot& slot : state.slots) {
    const uint64_t count = slot.count.load(memory_order_acquire);
    if ((count & 1) == 0) continue;
    all = wait_until(deadline,
                     [&] {
                       return slot.count.load(memory_order_acquire) != count ||
                              is_gone(slot.thread.load(memory_order_relaxed));
                     }) &&
          all;
  }
  return wait_until(deadline, [] { return state.crowded.load() == 0; }) && all;
}

}  // namespace

void set_below(Function function, uint64_t address) {
  void* const to = reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
  switch (function) {
    case Function::kClockGettime:
      state.below.clock_gettime = reinterpret_cast<int (*)(clockid_t, timespec*)>(to);
      break;
    case Function::kGettimeofday:
      state.below.gettimeofday = reinterpret_cast<int (*)(timeval*, void*)>(to);
      break;
    case Function::kTime:
      state.below.time = reinterpret_cast<time_t (*)(time_t*)>(to);
      break;
    case Function::kClockGetres:
      break;
  }
  state.below.clock_getres = raw_clock_getres;
  if (state.table.load() == nullptr) state.table.store(&state.tables[0]);
}

void set_original_clock_gettime(uint64_t address) {
  void* const to = reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr)
  const auto function = reinterpret_cast<int (*)(clockid_t, timespec*)>(to);
  __atomic_store_n(&originals.clock_gettime, function, __ATOMIC_RELEASE);
}

const tc_original& original() {
  return originals;
}

uint64_t hook(Function function) {
  constexpr std::array kHooks = {
      +[] { return reinterpret_cast<uint64_t>(&hook_clock_gettime); },
      +[] { return reinterpret_cast<uint64_t>(&hook_gettimeofday); },
      +[] { return reinterpret_cast<uint64_t>(&hook_time); },
      +[] { return reinterpret_cast<uint64_t>(&hook_clock_getres); },
  };
  return kHooks[index(function)]();
}

Result<bool> exchange(const Table& table) {
  const Table* const before = state.table.load();
  Table& next = state.tables[before == &state.tables[0] ? 1 : 0];
  next = table;
  // Before anything changes: without it nobody can wait.
  TC_CHECK(barrier_in_all_threads());
  state.table.store(&next);
  TC_CHECK(barrier_in_all_threads());
  return wait_for_callbacks();
}

bool in_callback() {
  return self.inside;
}

void forget_other_threads() {
  for (Slot& slot : state.slots) {
    if (&slot == self.slot) {
      slot.thread.store(static_cast<pid_t>(raw(SYS_gettid)));
    } else if (slot.thread.load(memory_order_relaxed) != 0) {
      slot.count.store(0);
      slot.thread.store(0);
    }
  }
  state.crowded.store(0);
}

}  // namespace time_chaos::library
