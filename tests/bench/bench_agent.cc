// The program as a whole: how soon a target is shifted after `time-chaos agent` was started, how
// long `set` takes to change its clocks, what an agent costs that only waits, and what the ptrace
// engine costs its target.
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/base/files.h"
#include "agent/targets/process.h"
#include "tests/bench/call_worker.h"
#include "tests/bench/statistics.h"
#include "tests/bench/worker.h"

namespace time_chaos::bench {
namespace {

constexpr int64_t kNano = 1'000'000'000;
constexpr int64_t kJump = 1000 * kNano;  // less than what is asked for, more than can happen

// These clocks are read by the benchmark and by its worker, which the program shifts; MONOTONIC it
// leaves alone.
int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * kNano + now.tv_nsec;
}

// The worker: on a byte, answers with a byte, then watches its clock, and says at what monotonic
// time it jumped.
int watch() {
  char byte = 0;
  while (worker_read(&byte, 1)) {
    int64_t last = nanoseconds(CLOCK_REALTIME);
    if (!worker_write(&byte, 1)) return 1;
    for (;;) {
      const int64_t now = nanoseconds(CLOCK_REALTIME);
      if (now - last > kJump || last - now > kJump) break;
      last = now;
    }
    const int64_t seen = nanoseconds(CLOCK_MONOTONIC);
    if (!worker_write(&seen, sizeof seen)) return 1;
  }
  return 0;
}

Result<std::string> run_program(const std::vector<std::string>& arguments) {
  TC_TRY(Worker program, Worker::start(arguments, {}, TIME_CHAOS_BIN));
  TC_TRY(std::string output, program.rest());
  TC_TRY(const int code, program.wait());
  if (code == 0) return output;
  return fail(Exit::kFailed, fmt::format("time-chaos {} exited with {}", arguments[0], code));
}

// Milliseconds from just before the program is started to the target's first shifted reading.
Result<double> start_to_shifted(Worker& target) {
  const std::string pid = std::to_string(target.pid());
  TC_CHECK(target.send('w'));
  TC_TRY(const char watching, target.receive<char>());
  (void)watching;
  const int64_t before = nanoseconds(CLOCK_MONOTONIC);
  TC_TRY(const std::string said, run_program({"agent", "--pid", pid, "--offset", "1h",
                                              "--engine-syscalls", "off", "--detach"}));
  TC_TRY(const int64_t seen, target.receive<int64_t>());
  return static_cast<double>(seen - before) / 1e6;
}

Result<double> set_us(pid_t pid, int round) {
  TC_TRY(const std::string said, run_program({"set", "--pid", std::to_string(pid), "--offset",
                                              fmt::format("{}m", 60 + round), "--json"}));
  const auto event = nlohmann::json::parse(said, nullptr, false);
  if (!event.is_object() || !event.contains("took_us")) {
    return fail(Exit::kFailed, "set did not say how long it took");
  }
  return event["took_us"].get<double>();
}

struct Cost {
  uint64_t switches = 0;  // voluntary and involuntary, of all threads
  double resident_mb = 0;
};

Result<Cost> cost_of(pid_t pid) {
  Cost cost;
  for (const pid_t tid : targets::list_threads(pid)) {
    TC_TRY(const auto status, targets::read_thread_status(pid, tid));
    cost.switches += status.voluntary_switches + status.involuntary_switches;
  }
  TC_TRY(const std::string status, read_file(fmt::format("/proc/{}/status", pid)));
  const size_t at = status.find("VmRSS:");
  if (at == std::string::npos) return fail(Exit::kFailed, "the agent has no VmRSS");
  cost.resident_mb = std::strtod(status.c_str() + at + 6, nullptr) / 1024;
  return cost;
}

struct Idle {
  uint64_t wakeups = 0;
  double resident_mb = 0;
};

Result<Idle> idle(pid_t target, std::chrono::seconds span) {
  TC_TRY(Worker agent, Worker::start({"agent", "--pid", std::to_string(target), "--offset", "1h",
                                      "--engine-syscalls", "off", "--json"},
                                     {}, TIME_CHAOS_BIN));
  TC_TRY(const std::string event, agent.receive_line());
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  TC_TRY(const Cost before, cost_of(agent.pid()));
  std::this_thread::sleep_for(span);
  TC_TRY(const Cost after, cost_of(agent.pid()));
  ::kill(agent.pid(), SIGINT);
  TC_TRY(const std::string said, agent.rest());
  TC_TRY(const int code, agent.wait());
  if (code != 0) return fail(Exit::kFailed, fmt::format("the agent exited with {}", code));
  return Idle{after.switches - before.switches, after.resident_mb};
}

// System calls of a target while the ptrace engine follows it, and without.
struct Followed {
  double clock_native = 0, clock = 0;  // us
  double other_native = 0, other = 0;
};

Result<double> call_us(Worker& target, Way way, int calls) {
  TC_CHECK(target.send(CallRequest{Call::kRealtime, way, 11, calls}));
  TC_TRY(const CallAnswer answer, target.receive<CallAnswer>());
  return answer.nanoseconds / 1e3;
}

Result<Followed> followed() {
  Followed result;
  TC_TRY(Worker target, Worker::start({"--calls"}));
  TC_TRY(result.clock_native, call_us(target, Way::kSystemCall, 1000));
  TC_TRY(result.other_native, call_us(target, Way::kOtherCall, 1000));
  TC_TRY(Worker agent, Worker::start({"agent", "--pid", std::to_string(target.pid()), "--offset",
                                      "1h", "--engine-syscalls", "ptrace", "--json"},
                                     {}, TIME_CHAOS_BIN));
  std::string event;
  while (event.find("\"following\"") == std::string::npos) {
    TC_TRY(event, agent.receive_line());
  }
  TC_TRY(result.clock, call_us(target, Way::kSystemCall, 100));
  TC_TRY(result.other, call_us(target, Way::kOtherCall, 100));
  ::kill(agent.pid(), SIGINT);
  TC_TRY(const std::string said, agent.rest());
  TC_TRY(const int code, agent.wait());
  if (code != 0) return fail(Exit::kFailed, fmt::format("the agent exited with {}", code));
  return result;
}

Status run(int rounds, int idle_seconds) {
  TC_TRY(Worker target, Worker::start({"--worker"}));
  const std::string pid = std::to_string(target.pid());
  std::vector<double> starts, sets;
  for (int round = 0; round < rounds; ++round) {
    TC_TRY(const double start, start_to_shifted(target));
    starts.push_back(start);
    TC_TRY(const double set, set_us(target.pid(), round));
    sets.push_back(set);
    TC_TRY(const std::string said, run_program({"recover", "--pid", pid}));
  }
  TC_TRY(const Idle cost, idle(target.pid(), std::chrono::seconds(idle_seconds)));
  TC_TRY(const Followed ptrace, followed());
  fmt::print("| | measured | to reach |\n|---|--:|--:|\n");
  fmt::print("| agent, from start to the first shifted reading | {:.1f} ms | 20 ms |\n",
             median(starts));
  fmt::print("| set, the write that changes the clocks | {:.1f} us | 10 us |\n", median(sets));
  fmt::print("| agent that waits, wakeups in {} s | {} | 0 |\n", idle_seconds, cost.wakeups);
  fmt::print("| agent that waits, resident memory | {:.1f} MB | 10 MB |\n", cost.resident_mb);
  fmt::print("\n| system calls of a target | native | followed by ptrace |\n|---|--:|--:|\n");
  fmt::print("| clock_gettime | {:.2f} us | {:.1f} us, x{:.0f} |\n", ptrace.clock_native,
             ptrace.clock, ptrace.clock / ptrace.clock_native);
  fmt::print("| any other (getppid) | {:.2f} us | {:.1f} us, x{:.0f} |\n", ptrace.other_native,
             ptrace.other, ptrace.other / ptrace.other_native);
  return {};
}

int main(int argc, char** argv) {
  CLI::App app("Measures the program as a whole");
  int rounds = 21;
  int idle_seconds = 10;
  bool worker = false;
  bool calls = false;
  app.add_option("--rounds", rounds, "How often it is started")->check(CLI::Range(1, 10000));
  app.add_option("--idle", idle_seconds, "Seconds for which an agent is watched");
  app.add_flag("--worker", worker, "Be the target");
  app.add_flag("--calls", calls, "Be the target that makes system calls");
  CLI11_PARSE(app, argc, argv);
  if (worker) return watch();
  if (calls) return serve_calls();
  if (const Status done = run(rounds, idle_seconds); !done) {
    fmt::print(stderr, "bench_agent: {}\n", done.error().line());
    return static_cast<int>(done.error().kind());
  }
  return 0;
}

}  // namespace
}  // namespace time_chaos::bench

int main(int argc, char** argv) {
  return time_chaos::bench::main(argc, argv);
}
