#include "agent/library/request.h"

#include <fmt/format.h>

#include <cmath>

#include "agent/clock/rate_map.h"

namespace time_chaos::library {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// Seconds that fit in nanoseconds of 64 bits.
constexpr int64_t kMostSeconds = TC_LAST_SEC;

Status check_value(const timespec& value, int64_t least) {
  if (value.tv_nsec < 0 || value.tv_nsec >= TC_NSEC_PER_SEC) {
    return fail(Exit::kUsage,
                fmt::format("value.tv_nsec is {}, not within [0, 1e9)", value.tv_nsec));
  }
  if (value.tv_sec < least || value.tv_sec > kMostSeconds) {
    return fail(Exit::kUsage, fmt::format("value.tv_sec is {}: too far away", value.tv_sec));
  }
  return {};
}

Status set_start(const tc_clock& request, clock::ClockSpec* spec) {
  switch (request.start) {
    case TC_FROM_NOW:
      if (request.value.tv_sec == 0 && request.value.tv_nsec == 0) return {};
      return fail(Exit::kUsage, "a value is given, but start says TC_FROM_NOW");
    case TC_BY_OFFSET:
      TC_CHECK(check_value(request.value, -kMostSeconds));
      spec->offset = seconds(request.value.tv_sec) + nanoseconds(request.value.tv_nsec);
      return {};
    case TC_AT:
      TC_CHECK(check_value(request.value, 0));
      spec->date = clock::Reading{request.value.tv_sec, request.value.tv_nsec};
      return {};
    default:
      return fail(Exit::kUsage, fmt::format("start is {}, no tc_start", request.start));
  }
}

}  // namespace

Result<clock::ClockSpec> checked(const tc_clock& request) {
  constexpr uint32_t kAll = (1U << TC_CLOCK_COUNT) - 1;
  if ((request.clocks & ~kAll) != 0) {
    return fail(Exit::kUsage, fmt::format("clocks is {:#x}: only the clocks 0 to 11 can be shifted",
                                          request.clocks));
  }
  if ((request.flags & ~TC_ALLOW_MONOTONIC_STEP) != 0 || request.reserved != 0) {
    return fail(Exit::kUsage, "flags or reserved has unknown bits");
  }
  if (!std::isfinite(request.rate) || std::fabs(request.rate) >= clock::kRateLimit) {
    return fail(Exit::kUsage, "rate must be below 2^28 either way");
  }
  clock::ClockSpec spec;
  if (request.clocks != 0) spec.clocks = clock::ClockSet(request.clocks);
  spec.rate = std::llround(std::ldexp(request.rate, 32));
  spec.allow_monotonic_step = (request.flags & TC_ALLOW_MONOTONIC_STEP) != 0;
  TC_CHECK(set_start(request, &spec));
  return spec;
}

}  // namespace time_chaos::library
