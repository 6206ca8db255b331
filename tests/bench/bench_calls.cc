// What a clock call costs: native, shifted, under libfaketime, and by a raw system call as the
// peers answer it. All in one run; each round measures every variant once, next to the native
// reading of the same process, and the medians of the rounds' ratios are what is said.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "tests/bench/call_worker.h"
#include "tests/bench/detour.h"
#include "tests/bench/statistics.h"
#include "tests/bench/worker.h"

namespace time_chaos::bench {
namespace {

constexpr int kSamples = 10;
constexpr int kFastCalls = 2000;  // some 40 us a sample: most are not disturbed
constexpr int kSlowCalls = 400;
constexpr int64_t kHour = 3600;

// One variant: what was measured, by call and round.
struct Variant {
  const char* name;
  std::array<std::vector<double>, kCalls> samples{};
  std::array<std::vector<double>, kCalls> native{};  // of the same process in the same round
};

enum Index { kOneOffset, kOneRate, kFiveOffset, kFiveRate, kFaketime, kRaw, kVariants };

class Bench {
 public:
  Status run(int rounds) {
    TC_TRY(Worker one, start_one_byte());
    TC_TRY(Worker five, Worker::start({"--worker"}));
    TC_TRY(auto faketime, start_faketime());
    for (int round = 0; round < rounds; ++round) {
      TC_CHECK(
          detoured(one, vdso::Detour::kAuto, variants_[kOneOffset], variants_[kOneRate], round));
      TC_CHECK(measure(one, Way::kSystemCall, kHour, variants_[kRaw].samples));
      variants_[kRaw].native = variants_[kOneOffset].native;
      TC_CHECK(detoured(five, vdso::Detour::kFiveByte, variants_[kFiveOffset], variants_[kFiveRate],
                        round));
      if (faketime) {
        // Not judged: libfaketime 0.9.10 answers MONOTONIC with seconds since 1970.
        TC_CHECK(measure(*faketime, Way::kLibrary, std::nullopt, variants_[kFaketime].samples));
        variants_[kFaketime].native = variants_[kOneOffset].native;
      }
    }
    print();
    return {};
  }

 private:
  // The pads' places depend on where the kernel puts mappings: a few processes are tried.
  Result<Worker> start_one_byte() {
    for (int tries = 0;; ++tries) {
      TC_TRY(Worker worker, Worker::start({"--worker"}));
      TC_CHECK(ready(worker));
      TC_TRY(const bool all, all_one_byte(worker.pid()));
      if (all) return worker;
      if (tries == 30) {
        note_ =
            "No process had room for one-byte patches of all functions: those without are "
            "patched by five bytes in the one-byte columns, too.";
        return worker;
      }
    }
  }

  Result<std::optional<Worker>> start_faketime() {
    const char* library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";
    if (!std::filesystem::exists(library)) {
      note_ += "libfaketime is not installed (package faketime).";
      return std::optional<Worker>();
    }
    TC_TRY(Worker worker,
           Worker::start({"--worker"}, {fmt::format("LD_PRELOAD={}", library), "FAKETIME=+3600s"}));
    TC_CHECK(ready(worker));
    return std::optional<Worker>(std::move(worker));
  }

  // Has it started, and does it serve?
  static Status ready(Worker& worker) {
    TC_CHECK(worker.send(CallRequest{Call::kTime, Way::kLibrary, 1, 1}));
    TC_TRY(const CallAnswer answer, worker.receive<CallAnswer>());
    (void)answer;
    return {};
  }

  // Native, offset and rate of one process; every other round the other way round.
  static Status detoured(Worker& worker, vdso::Detour detour, Variant& offset, Variant& rate,
                         int round) {
    const bool native_first = round % 2 == 0;
    if (native_first) TC_CHECK(measure(worker, Way::kLibrary, 0, offset.native));
    TC_TRY(const auto report, attach(worker.pid(), detour, offset_maps()));
    (void)report;
    TC_CHECK(measure(worker, Way::kLibrary, kHour, offset.samples));
    TC_CHECK(publish(worker.pid(), rate_maps()));
    TC_CHECK(measure(worker, Way::kLibrary, kHour, rate.samples));
    TC_CHECK(recover(worker.pid()));
    if (!native_first) TC_CHECK(measure(worker, Way::kLibrary, 0, offset.native));
    rate.native = offset.native;
    return {};
  }

  static Status measure(Worker& worker, Way way, std::optional<int64_t> expected,
                        std::array<std::vector<double>, kCalls>& into) {
    for (int call = 0; call < kCalls; ++call) {
      const int calls = way == Way::kLibrary ? kFastCalls : kSlowCalls;
      TC_CHECK(worker.send(CallRequest{static_cast<Call>(call), way, kSamples, calls}));
      TC_TRY(const CallAnswer answer, worker.receive<CallAnswer>());
      // At a rate it drifts away, but not so far so soon.
      if (expected && std::abs(answer.shifted_seconds - *expected) > 5) {
        return fail(Exit::kFailed,
                    fmt::format("{} read {} s off the kernel's clock, not {} s", kCallNames[call],
                                answer.shifted_seconds, *expected));
      }
      into[static_cast<size_t>(call)].push_back(answer.nanoseconds);
    }
    return {};
  }

  void print() const {
    fmt::print("| call | native |");
    for (const Variant& variant : variants_) fmt::print(" {} |", variant.name);
    fmt::print("\n|---|--:|");
    for (size_t i = 0; i < variants_.size(); ++i) fmt::print("--:|");
    fmt::print("\n");
    for (size_t call = 0; call < kCalls; ++call) {
      fmt::print("| {} | {:.1f} ns |", kCallNames[call],
                 median(variants_[kOneOffset].native[call]));
      for (const Variant& variant : variants_) print_cell(variant, call);
      fmt::print("\n");
    }
    if (!note_.empty()) fmt::print("\n{}\n", note_);
  }

  static void print_cell(const Variant& variant, size_t call) {
    if (variant.samples[call].empty()) {
      fmt::print(" - |");
      return;
    }
    fmt::print(" {:.1f} ns, x{:.2f} |", median(variant.samples[call]),
               median(ratios(variant.samples[call], variant.native[call])));
  }

  std::array<Variant, kVariants> variants_{{{"offset"},
                                            {"rate"},
                                            {"offset, 5-byte"},
                                            {"rate, 5-byte"},
                                            {"libfaketime"},
                                            {"raw syscall"}}};
  std::string note_;
};

int main(int argc, char** argv) {
  CLI::App app("Measures what clock calls cost");
  int rounds = 201;
  bool worker = false;
  app.add_option("--rounds", rounds, "How often every variant is measured")
      ->check(CLI::Range(1, 100000));
  app.add_flag("--worker", worker, "Be the process that is measured");
  CLI11_PARSE(app, argc, argv);
  if (worker) return serve_calls();
  if (const Status done = Bench().run(rounds); !done) {
    fmt::print(stderr, "bench_calls: {}\n", done.error().line());
    return static_cast<int>(done.error().kind());
  }
  return 0;
}

}  // namespace
}  // namespace time_chaos::bench

int main(int argc, char** argv) {
  return time_chaos::bench::main(argc, argv);
}
