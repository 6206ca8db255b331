// The agent is killed with SIGKILL at every step it makes, and at random moments. The target must
// go on as if nothing had been; it reads host time or shifted time and nothing else; and a new
// agent puts everything back. 1000 random kills, or as many as fit into 75 s; TIME_CHAOS_KILLS:
// exactly that many.
#include <csignal>
#include <random>
#include <thread>

#include "tests/live/harness/support.h"
#include "tests/live/preload/kill_counts.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

// The program with the preloaded library, killed at step `at` (0: not killed).
struct KilledRun {
  ExitStatus status;
  kill_counts counts{};
  std::string text;
};
Result<KilledRun> run_killed(const Arguments& arguments, uint64_t at, const char* when) {
  TC_TRY(const SharedFile<kill_counts> counts, SharedFile<kill_counts>::make());
  RunOptions options;
  options.env = {"LD_PRELOAD=" + target_path("libkillat.so"), "KILL_COUNT_FILE=" + counts.path(),
                 "KILL_AT=" + std::to_string(at), std::string("KILL_WHEN=") + when,
                 // A sanitized build wants to be first in the list of libraries; it need not be.
                 "ASAN_OPTIONS=verify_asan_link_order=0"};
  TC_TRY(const Outcome outcome, run_program(arguments, options));
  return KilledRun{outcome.status, *counts.get(), outcome.text()};
}

Arguments detached(pid_t pid) {
  return agent_arguments(pid, "1h", {"--detach"});
}

Status shifted_by_1h(pid_t pid) {
  TC_TRY(const nlohmann::json shifted, shift_detached(pid, "1h"));
  return {};
}

// A target with the means to see that it is well.
class Patient {
 public:
  static Result<Patient> admit(const std::string& name, const std::vector<std::string>& arguments,
                               const std::vector<std::string>& after = {}) {
    TC_TRY(Torture torture, Torture::start(name, arguments, after));
    torture.allow({Nanoseconds{0}, hours{1}, hours{2}});
    torture.tolerate_interruptions();
    TC_TRY(Snapshot before, Snapshot::take(torture.pid()));
    return Patient(std::move(torture), std::move(before));
  }
  [[nodiscard]] pid_t pid() const { return torture_.pid(); }
  Torture& torture() { return torture_; }

  Status well() {
    TC_CHECK(torture_.progress(1));
    TC_CHECK(torture_.healthy());
    TC_TRY(const Snapshot now, Snapshot::take(pid()));
    if (now.tracer != 0) return fail(Exit::kFailed, "still traced");
    if (now.fds != before_.fds)
      return fail(Exit::kFailed, differences(before_, now, Maps::kIgnored));
    return {};
  }
  // Recovered by a new agent, and as before.
  Status cure() {
    TC_CHECK(recover_whatever(pid()));
    TC_CHECK(well());
    TC_TRY(const std::string found, lasting_differences(before_, pid(), Maps::kIgnored));
    if (!found.empty()) return fail(Exit::kFailed, found);
    return {};
  }

 private:
  Patient(Torture torture, Snapshot before)
      : torture_(std::move(torture)), before_(std::move(before)) {}
  Torture torture_;
  Snapshot before_;
};

struct Case {
  const char* name;  // of the test
  const char* target;
  std::vector<std::string> arguments;
  std::vector<std::string> after;
};
void PrintTo(const Case& one, std::ostream* out) {
  *out << one.name;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> kCases = {
      {"hot", "hot", {"3"}, {"timer"}},          {"spin", "registers", {"spin"}, {}},
      {"timer", "registers", {"timer"}, {}},     {"blocked", "registers", {"epoll"}, {}},
      {"threads", "registers", {"threads"}, {}},
  };
  return kCases;
}

class Kill : public testing::TestWithParam<Case> {
 protected:
  static Result<Patient> admit() {
    return Patient::admit(GetParam().target, GetParam().arguments, GetParam().after);
  }
};

// Every step of attach, set and recover, before and after it.
TEST_P(Kill, AtEveryStep) {
  ASSERT_VALUE(Patient patient, admit());
  const pid_t pid = patient.pid();
  const std::vector<std::pair<std::string, Arguments>> phases = {
      {"attach", detached(pid)},
      {"set", {"set", "--pid", std::to_string(pid), "--offset", "2h", "--json"}},
      {"recover", recover_arguments(pid)},
  };
  for (const auto& [phase, arguments] : phases) {
    ASSERT_STATUS(patient.cure());
    if (phase != "attach") {
      ASSERT_STATUS(shifted_by_1h(pid));
    }
    ASSERT_VALUE(const KilledRun whole, run_killed(arguments, 0, "before"));
    ASSERT_EQ(whole.status, (ExitStatus{0, 0})) << phase << ": " << whole.text;
    if (phase == "attach") {
      ASSERT_GT(whole.counts.ptraces, 0U) << "the library counts nothing";
    }
    if (phase == "set") {
      EXPECT_EQ(whole.counts.ptraces, 0U) << "set needs no stop";
    }
    RecordProperty(phase, std::to_string(whole.counts.steps));
    // Steps beyond 60 are the same few again (polling, one thread after the other).
    const uint64_t steps = std::min<uint64_t>(whole.counts.steps, 60);
    for (uint64_t at = 1; at <= steps; ++at) {
      for (const char* when : {"before", "after"}) {
        SCOPED_TRACE(phase + " killed " + when + " step " + std::to_string(at));
        ASSERT_STATUS(patient.cure());
        if (phase != "attach") {
          ASSERT_STATUS(shifted_by_1h(pid));
        }
        ASSERT_VALUE(const KilledRun run, run_killed(arguments, at, when));
        // It may end well before that step: how often it polls differs from run to run.
        ASSERT_TRUE(run.status == (ExitStatus{0, SIGKILL}) || run.status == (ExitStatus{0, 0}))
            << run.text;
        ASSERT_STATUS(patient.well());
      }
    }
  }
  ASSERT_STATUS(patient.cure());
  ASSERT_VALUE(const auto shifted, shift_detached(pid, "1h"));
  ASSERT_VALUE(const auto recovered, recover_target(pid));
  ASSERT_STATUS(patient.cure());
  if (GetParam().name == std::string("hot")) {
    EXPECT_EQ(patient.torture().lost_ticks(), 0);
  }
}

TEST_P(Kill, AtRandomMoments) {
  ASSERT_VALUE(Patient patient, admit());
  const pid_t pid = patient.pid();
  // How long an attach takes here, so that the moments are spread over all of it.
  ASSERT_VALUE(const Outcome whole, run_program(detached(pid)));
  ASSERT_EQ(whole.status, (ExitStatus{0, 0})) << whole.text();
  const auto seed = static_cast<unsigned>(host_mono_ns());
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::minstd_rand random(seed);
  std::uniform_int_distribution<int64_t> moment_us(0, whole.took.count() * 1000 + 1000);
  Repetitions kills("TIME_CHAOS_KILLS", 1000, static_cast<int>(cases().size()),
                    std::chrono::seconds{15});
  while (kills.next()) {
    const bool attach = kills.done() % 2 == 1;
    if (attach) {
      ASSERT_STATUS(patient.cure());
    }
    const int64_t us = moment_us(random);
    SCOPED_TRACE((attach ? "attach" : "recover") + std::string(" killed after us ") +
                 std::to_string(us));
    ASSERT_VALUE(Agent agent, Agent::start(attach ? detached(pid) : recover_arguments(pid)));
    std::this_thread::sleep_for(std::chrono::microseconds{us});
    ASSERT_STATUS(agent.child().signal(SIGKILL));
    ASSERT_VALUE(const Outcome outcome, agent.wait());
    ASSERT_STATUS(patient.well());
  }
  ASSERT_STATUS(patient.cure());
  if (GetParam().name == std::string("hot")) {
    EXPECT_EQ(patient.torture().lost_ticks(), 0);
  }
}
INSTANTIATE_TEST_SUITE_P(Live, Kill, testing::ValuesIn(cases()),
                         [](const testing::TestParamInfo<Case>& p) {
                           return std::string(p.param.name);
                         });

// The same, more coarsely, on runtimes that would not forgive: a collector, a scheduler of its own.
class KillOver : public testing::TestWithParam<std::string> {};

TEST_P(KillOver, TheRuntimeGoesOn) {
  const ClockTarget& target = clock_target(GetParam());
  SKIP_IF_MISSING(target);
  ASSERT_VALUE(Child child, start_clock_target(target));
  // A runtime opens files of its own when it first sleeps.
  for (int i = 0; i < 3; ++i) {
    ASSERT_VALUE(const Reading warm, next_reading(child, host_mono_ns()));
  }
  ASSERT_VALUE(const Snapshot before, Snapshot::take(child.pid()));
  for (uint64_t at = 1; at <= 40; ++at) {
    SCOPED_TRACE(at);
    ASSERT_VALUE(const KilledRun run, run_killed(detached(child.pid()), at, "after"));
    ASSERT_VALUE(const Reading reading, next_reading(child, host_mono_ns()));
    const Nanoseconds shift = reading.shift("rt");
    const bool host = std::chrono::abs(shift) <= kReadingTolerance;
    const bool shifted = std::chrono::abs(shift - hours{1}) <= kReadingTolerance;
    ASSERT_TRUE(host || shifted) << reading.line();
    ASSERT_STATUS(recover_whatever(child.pid()));
  }
  ASSERT_STATUS(check_shift(child, {.since = host_mono_ns()}));
  EXPECT_TRUE(unchanged(before, child.pid(), Maps::kIgnored));
}
INSTANTIATE_TEST_SUITE_P(Live, KillOver, testing::Values("go", "java", "node", "python"),
                         string_name);

}  // namespace
}  // namespace time_chaos::live
