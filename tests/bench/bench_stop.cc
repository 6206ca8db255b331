// How long a target stands still while it is attached to, by its number of threads: one thread
// where one byte is enough, all of them where whole jumps are written. Every attach meets a new
// process, whose threads sleep in the kernel.
#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <optional>

#include "tests/bench/detour.h"
#include "tests/bench/statistics.h"
#include "tests/bench/worker.h"

namespace time_chaos::bench {
namespace {

constexpr int kThreadCounts[] = {1, 10, 100, 500};
constexpr double kMicro = 1e-3;  // of nanoseconds

void* sleep_for_ever(void*) {
  for (;;) ::pause();
}

// The worker: so many threads, then "r", then nothing until it is killed.
int be_threads(int count) {
  pthread_attr_t small;
  ::pthread_attr_init(&small);
  ::pthread_attr_setstacksize(&small, size_t{64} << 10);
  for (int i = 1; i < count; ++i) {
    pthread_t thread{};
    if (::pthread_create(&thread, &small, sleep_for_ever, nullptr) != 0) return 1;
  }
  char byte = 'r';
  if (!worker_write(&byte, 1)) return 1;
  (void)worker_read(&byte, 1);
  return 0;
}

struct Stops {
  std::vector<double> one;    // us: the thread that ran the stub
  std::vector<double> world;  // us: all threads, with five bytes at every function
  int only_one = 0;           // attaches by one byte that stopped no other thread
};

double microseconds(std::chrono::nanoseconds span) {
  return static_cast<double>(span.count()) * kMicro;
}

Result<Worker> start_threads(int threads) {
  TC_TRY(Worker worker, Worker::start({"--worker", std::to_string(threads)}));
  TC_TRY(const char ready, worker.receive<char>());
  (void)ready;
  return worker;
}

Status attach_once(int threads, vdso::Detour detour, Stops& stops) {
  TC_TRY(Worker worker, start_threads(threads));
  TC_TRY(const auto report, attach(worker.pid(), detour, offset_maps()));
  if (detour == vdso::Detour::kAuto) {
    stops.one.push_back(microseconds(report.stopped));
    // Where some landing pad's place is taken, that function gets five bytes.
    if (!report.world_stopped) stops.only_one++;
  } else if (report.world_stopped) {
    stops.world.push_back(microseconds(*report.world_stopped));
  }
  return {};
}

std::string cell(const std::vector<double>& samples) {
  if (samples.empty()) return "-";
  return fmt::format("{:.0f} us ({:.0f} us)", median(samples), quantile(samples, 1));
}

Status run(int rounds) {
  fmt::print(
      "| threads | one thread, for the stub | and no other, with one byte | "
      "all threads, with five bytes |\n|--:|--:|--:|--:|\n");
  for (const int threads : kThreadCounts) {
    Stops stops;
    for (int round = 0; round < rounds; ++round) {
      TC_CHECK(attach_once(threads, vdso::Detour::kAuto, stops));
      TC_CHECK(attach_once(threads, vdso::Detour::kFiveByte, stops));
    }
    fmt::print("| {} | {} | in {} of {} | {} |\n", threads, cell(stops.one), stops.only_one, rounds,
               cell(stops.world));
  }
  fmt::print("\nMedian (maximum) of {} attaches.\n", rounds);
  return {};
}

int main(int argc, char** argv) {
  CLI::App app("Measures how long a target stands still");
  int rounds = 41;
  std::optional<int> threads;
  app.add_option("--rounds", rounds, "How many processes are attached to")
      ->check(CLI::Range(1, 10000));
  app.add_option("--worker", threads, "Be a target of so many threads");
  CLI11_PARSE(app, argc, argv);
  if (threads) return be_threads(*threads);
  if (const Status done = run(rounds); !done) {
    fmt::print(stderr, "bench_stop: {}\n", done.error().line());
    return static_cast<int>(done.error().kind());
  }
  return 0;
}

}  // namespace
}  // namespace time_chaos::bench

int main(int argc, char** argv) {
  return time_chaos::bench::main(argc, argv);
}
