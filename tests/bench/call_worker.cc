#include "tests/bench/call_worker.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <vector>

#include "tests/bench/statistics.h"
#include "tests/bench/worker.h"

namespace time_chaos::bench {
namespace {

constexpr int64_t kPeersOffset = 3600;

// By instruction: no library may answer for the kernel.
long system_call(long number, long first, void* second) {
  long result = 0;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(first), "S"(second)
               : "rcx", "r11", "memory");
  return result;
}

timespec kernel_time(clockid_t clock) {
  timespec now{};
  system_call(SYS_clock_gettime, clock, &now);
  return now;
}

double stopwatch_ns() {
  const timespec now = kernel_time(CLOCK_MONOTONIC_RAW);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

// The peers' way: the kernel's reading, an offset added.
void peers_clock_gettime(clockid_t clock, timespec* now) {
  system_call(SYS_clock_gettime, clock, now);
  now->tv_sec += kPeersOffset;
}
void peers_gettimeofday(timeval* now) {
  system_call(SYS_gettimeofday, reinterpret_cast<long>(now), nullptr);
  now->tv_sec += kPeersOffset;
}
time_t peers_time() {
  return system_call(SYS_time, 0, nullptr) + kPeersOffset;
}

template <typename Function>
double sample(int count, const Function& function) {
  const double before = stopwatch_ns();
  for (int i = 0; i < count; ++i) function();
  return (stopwatch_ns() - before) / count;
}

// Calls it `request.calls` times a sample; a warm-up comes first: after a change of the vDSO's
// pages the first call faults them in.
template <typename Function>
double measure(const CallRequest& request, const Function& function) {
  sample(100, function);
  std::vector<double> samples;
  for (int i = 0; i < request.samples; ++i) samples.push_back(sample(request.calls, function));
  return median(samples);
}

template <typename Library, typename Peers>
CallAnswer answer(const CallRequest& request, clockid_t clock, const int64_t& shown,
                  const Library& library, const Peers& peers) {
  CallAnswer result;
  const bool own = request.way == Way::kLibrary;
  result.nanoseconds = own ? measure(request, library) : measure(request, peers);
  own ? library() : peers();
  result.shifted_seconds = shown - kernel_time(clock).tv_sec;
  return result;
}

CallAnswer serve(const CallRequest& request) {
  timespec spec{};
  timeval val{};
  time_t seconds = 0;
  if (request.way == Way::kOtherCall) {
    return {measure(request, [] { system_call(SYS_getppid, 0, nullptr); }), 0};
  }
  switch (request.call) {
    case Call::kRealtime:
      return answer(
          request, CLOCK_REALTIME, spec.tv_sec, [&] { ::clock_gettime(CLOCK_REALTIME, &spec); },
          [&] { peers_clock_gettime(CLOCK_REALTIME, &spec); });
    case Call::kMonotonic:
      return answer(
          request, CLOCK_MONOTONIC, spec.tv_sec, [&] { ::clock_gettime(CLOCK_MONOTONIC, &spec); },
          [&] { peers_clock_gettime(CLOCK_MONOTONIC, &spec); });
    case Call::kGettimeofday:
      return answer(
          request, CLOCK_REALTIME, val.tv_sec, [&] { ::gettimeofday(&val, nullptr); },
          [&] { peers_gettimeofday(&val); });
    case Call::kTime:
      return answer(
          request, CLOCK_REALTIME, seconds, [&] { seconds = ::time(nullptr); },
          [&] { seconds = peers_time(); });
  }
  return {};
}

// All workers on one processor: they never run at once, and processors differ.
void pin() {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(std::max(0L, ::sysconf(_SC_NPROCESSORS_ONLN) - 1)), &set);
  (void)::sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

int serve_calls() {
  pin();
  CallRequest request;
  while (worker_read(&request, sizeof request)) {
    const CallAnswer result = serve(request);
    if (!worker_write(&result, sizeof result)) return 1;
  }
  return 0;
}

}  // namespace time_chaos::bench
