// What a clock call costs in a program that changes its own clock: native, with a map, with a
// callback. Each round measures every variant next to the native call; said are medians.
#include <fmt/format.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <ctime>
#include <vector>

#include "tests/bench/statistics.h"
#include "time_chaos/time_chaos.h"

namespace time_chaos::bench {
namespace {

constexpr int kSamples = 10;
constexpr int kCalls = 2000;

double nanoseconds_per_call(clockid_t clock) {
  std::vector<double> samples;
  for (int i = 0; i < kSamples; ++i) {
    timespec begin{};
    timespec end{};
    timespec now{};
    ::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &begin);
    for (int call = 0; call < kCalls; ++call) ::clock_gettime(clock, &now);
    ::syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &end);
    samples.push_back((static_cast<double>(end.tv_sec - begin.tv_sec) * 1e9 +
                       static_cast<double>(end.tv_nsec - begin.tv_nsec)) /
                      kCalls);
  }
  return quantile(samples, 0.25);
}

int callback(clockid_t clock, timespec* into, const tc_original* original, void* data) {
  const int result = original->clock_gettime(clock, into);
  into->tv_sec += *static_cast<const time_t*>(data);
  return result;
}

struct Variant {
  const char* name;
  tc_status (*install)(tc_layer*);
  std::vector<double> samples{};
};

tc_status install_offset(tc_layer* layer) {
  tc_clock clock = TC_CLOCK_INIT;
  clock.start = TC_BY_OFFSET;
  clock.value.tv_sec = 3600;
  return tc_install_map(&clock, layer);
}
tc_status install_rate(tc_layer* layer) {
  tc_clock clock = TC_CLOCK_INIT;
  clock.rate = 0.5;
  return tc_install_map(&clock, layer);
}
tc_status install_callback(tc_layer* layer) {
  static time_t hour = 3600;
  tc_functions functions{};
  functions.clock_gettime = callback;
  return tc_install(&functions, &hour, layer);
}

int run(int rounds) {
  std::array<Variant, 3> variants = {{{"map, offset", install_offset},
                                      {"map, rate", install_rate},
                                      {"callback", install_callback}}};
  std::vector<double> native;
  for (int round = 0; round < rounds; ++round) {
    native.push_back(nanoseconds_per_call(CLOCK_REALTIME));
    for (Variant& variant : variants) {
      tc_layer layer = 0;
      if (variant.install(&layer) < 0) {
        fmt::print(stderr, "bench_library: {}\n", tc_message());
        return 1;
      }
      variant.samples.push_back(nanoseconds_per_call(CLOCK_REALTIME));
      if (tc_restore(layer) < 0) {
        fmt::print(stderr, "bench_library: {}\n", tc_message());
        return 1;
      }
    }
  }
  fmt::print("| clock_gettime(REALTIME) | ns | more | x native |\n|---|--:|--:|--:|\n");
  fmt::print("| native | {:.1f} | | |\n", median(native));
  for (const Variant& variant : variants) {
    std::vector<double> more;
    for (size_t i = 0; i < native.size(); ++i) more.push_back(variant.samples[i] - native[i]);
    fmt::print("| {} | {:.1f} | {:+.1f} | x{:.2f} |\n", variant.name, median(variant.samples),
               median(more), median(ratios(variant.samples, native)));
  }
  return 0;
}

int main(int argc, char** argv) {
  CLI::App app("Measures what a clock call costs in a program that changes its own clock");
  int rounds = 201;
  app.add_option("--rounds", rounds, "How often every variant is measured")
      ->check(CLI::Range(1, 100000));
  CLI11_PARSE(app, argc, argv);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(sched_getcpu(), &set);
  ::sched_setaffinity(0, sizeof set, &set);
  return run(rounds);
}

}  // namespace
}  // namespace time_chaos::bench

int main(int argc, char** argv) {
  return time_chaos::bench::main(argc, argv);
}
