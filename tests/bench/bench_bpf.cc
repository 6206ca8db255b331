// What the mere presence of a BPF program at the exit of system calls costs whoever makes them: a
// program that does nothing, on the tracepoint sys_exit, attached and detached in turn. The
// engine's own programs write user memory, which this machine may forbid (lockdown); this one does
// not.
#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "tests/bench/statistics.h"

namespace time_chaos::bench {
namespace {

using std::chrono::steady_clock;
constexpr int kCalls = 20'000;

Result<ScopedFd> load_nothing() {
  bpf_insn code[2] = {};
  code[0].code = BPF_ALU64 | BPF_MOV | BPF_K;  // r0 = 0
  code[1].code = BPF_JMP | BPF_EXIT;
  const int fd =
      ::bpf_prog_load(BPF_PROG_TYPE_RAW_TRACEPOINT, "tc_nothing", "GPL", code, 2, nullptr);
  if (fd < 0) return fail_errno("load a program that does nothing");
  return ScopedFd(fd);
}

Result<ScopedFd> attach(const ScopedFd& program) {
  const int fd = ::bpf_raw_tracepoint_open("sys_exit", program.get());
  if (fd < 0) return fail_errno("attach it to sys_exit");
  return ScopedFd(fd);
}

// Nanoseconds a call.
template <typename Call>
double time_of(Call call) {
  const auto began = steady_clock::now();
  for (int i = 0; i < kCalls; i++) call();
  return std::chrono::duration<double, std::nano>(steady_clock::now() - began).count() / kCalls;
}

struct Samples {
  std::vector<double> without, with;
};

struct Calls {
  Samples getppid, clock_gettime;
};

void measure(Calls& calls, std::vector<double> Samples::*side) {
  timespec now{};
  (calls.getppid.*side).push_back(time_of([] { ::syscall(SYS_getppid); }));
  (calls.clock_gettime.*side).push_back(time_of([&] {
    ::syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
  }));
}

void print(const char* name, const Samples& samples) {
  fmt::print("| {} | {:.0f} ns | {:.0f} ns | x{:.2f} |\n", name, median(samples.without),
             median(samples.with), median(ratios(samples.with, samples.without)));
}

Status run(int rounds) {
  TC_TRY(const ScopedFd program, load_nothing());
  Calls calls;
  for (int round = 0; round < rounds; round++) {
    measure(calls, &Samples::without);
    TC_TRY(const ScopedFd link, attach(program));
    measure(calls, &Samples::with);
  }
  fmt::print("| system call | without | with a program on sys_exit | |\n|---|--:|--:|--:|\n");
  print("getppid", calls.getppid);
  print("clock_gettime", calls.clock_gettime);
  return {};
}

}  // namespace
}  // namespace time_chaos::bench

int main(int argc, char** argv) {
  int rounds = 41;
  CLI::App app{"What a BPF program that does nothing costs every system call."};
  app.add_option("--rounds", rounds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  const auto done = time_chaos::bench::run(rounds);
  if (done) return 0;
  if (done.error().kind() == time_chaos::Exit::kNotPermitted) {
    fmt::print("SKIPPED: {}\n", done.error().message());
    return 77;
  }
  fmt::print(stderr, "bench_bpf: {}\n", done.error().message());
  return 1;
}
