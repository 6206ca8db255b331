// The agent's own steps, one by one: what a change of a live experiment and the looks at a target
// cost. Google Benchmark, because nothing here is compared side by side.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstring>

#include "agent/vdso/clock_page.h"
#include "tests/bench/detour.h"
#include "tests/bench/worker.h"

namespace time_chaos::bench {
namespace {

// Any failure ends the benchmark, and is said.
template <typename T>
bool well(benchmark::State& state, const T& result) {
  if (!result) state.SkipWithError(result.error().line().c_str());
  return result.has_value();
}

Result<Worker> start_shifted() {
  TC_TRY(Worker worker, Worker::start({"--worker"}));
  TC_TRY(const char ready, worker.receive<char>());
  (void)ready;
  TC_TRY(const auto report, attach(worker.pid(), vdso::Detour::kAuto, offset_maps()));
  (void)report;
  return worker;
}

void change_maps(benchmark::State& state) {
  auto worker = start_shifted();
  if (!well(state, worker)) return;
  const auto found = vdso::find_experiment(worker->pid());
  if (!well(state, found)) return;
  auto page = vdso::ClockPage::open(worker->pid(), (*found)->clock_page());
  if (!well(state, page)) return;
  const clock::ClockMaps maps = offset_maps();
  for (auto _ : state) {
    if (!well(state, page->publish(maps))) return;
  }
}

void find_experiment(benchmark::State& state) {
  auto worker = start_shifted();
  if (!well(state, worker)) return;
  for (auto _ : state) {
    if (!well(state, vdso::find_experiment(worker->pid()))) return;
  }
}

void plan_attach(benchmark::State& state) {
  auto worker = Worker::start({"--worker"});
  if (!well(state, worker) || !well(state, worker->receive<char>())) return;
  for (auto _ : state) {
    const auto memory = tracee::Memory::open(worker->pid());
    if (!well(state, memory)) return;
    if (!well(state, vdso::make_plan(worker->pid(), *memory, vdso::Detour::kAuto))) return;
  }
}

// Rows of a table instead of the console's columns.
class MarkdownReporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override {
    fmt::print("| step | time |\n|---|--:|\n");
    return true;
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.error_occurred) {
        failed_ = true;
        fmt::print(stderr, "bench_page: {}: {}\n", run.benchmark_name(), run.error_message);
      } else {
        fmt::print("| {} | {:.1f} us |\n", run.benchmark_name(), run.GetAdjustedRealTime());
      }
    }
  }
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  bool failed_ = false;
};

int be_worker() {
  char byte = 'r';
  if (!worker_write(&byte, 1)) return 1;
  (void)worker_read(&byte, 1);
  return 0;
}

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--worker") == 0) return be_worker();
  benchmark::RegisterBenchmark("change the maps of a target", change_maps)
      ->Unit(benchmark::kMicrosecond);
  benchmark::RegisterBenchmark("find the experiment in a target", find_experiment)
      ->Unit(benchmark::kMicrosecond);
  benchmark::RegisterBenchmark("plan an attach", plan_attach)->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  MarkdownReporter reporter;
  benchmark::RunSpecifiedBenchmarks(&reporter);
  return reporter.failed() ? 1 : 0;
}

}  // namespace
}  // namespace time_chaos::bench

int main(int argc, char** argv) {
  return time_chaos::bench::main(argc, argv);
}
