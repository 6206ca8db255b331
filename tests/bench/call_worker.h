// What a worker of bench_calls measures on request: nanoseconds a call.
#pragma once

#include <cstdint>

namespace time_chaos::bench {

enum class Call : int32_t { kRealtime, kMonotonic, kGettimeofday, kTime };
inline constexpr int kCalls = 4;
inline constexpr const char* kCallNames[kCalls] = {
    "clock_gettime(REALTIME)", "clock_gettime(MONOTONIC)", "gettimeofday", "time"};

// How the call is answered: as the process has it; or by a raw system call whose result is then
// shifted, as the peers answer it. kOtherCall measures getppid instead, which has no clock in it.
enum class Way : int32_t { kLibrary, kSystemCall, kOtherCall };

struct CallRequest {
  Call call = Call::kRealtime;
  Way way = Way::kLibrary;
  int32_t samples = 0;  // the answer is their median
  int32_t calls = 0;    // in one sample
};

struct CallAnswer {
  double nanoseconds = 0;
  // What the call read less what the kernel says, in whole seconds: is it shifted at all?
  int64_t shifted_seconds = 0;
};

// Serves requests until there are no more. Returns the exit code.
int serve_calls();

}  // namespace time_chaos::bench
