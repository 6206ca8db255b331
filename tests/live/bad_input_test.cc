// What is refused: the exit code (DESIGN §7), one line that names what is wrong, nothing changed.
#include <algorithm>
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

struct Refusal {
  const char* name;
  Arguments arguments;     // "@" stands for the pid of a healthy target
  std::vector<int> codes;  // any of these
  const char* line;        // a regular expression (POSIX extended) that the line holds
};

// How the test framework names it.
void PrintTo(const Refusal& refusal, std::ostream* out) {
  *out << refusal.name;
}

constexpr int kUsage = 2;
// A command line that is wrongly accepted would hold its target for ever.
const RunOptions kSoon{{}, {}, Milliseconds{5000}};

Arguments agent(const Arguments& more) {
  Arguments result{"agent", "--pid", "@"};
  result.insert(result.end(), more.begin(), more.end());
  return result;
}

const std::vector<Refusal>& refusals() {
  static const std::vector<Refusal> kRefusals = {
      {"NoCommand", {}, {kUsage}, ""},
      {"UnknownCommand", {"frobnicate"}, {kUsage}, "frobnicate"},
      {"UnknownOption", agent({"--offset", "1h", "--frobnicate"}), {kUsage}, "frobnicate"},
      {"NoTarget", {"agent", "--offset", "1h"}, {kUsage}, "--pid"},
      {"NoOffset", agent({}), {kUsage}, "--offset"},
      {"OffsetWithoutUnit", agent({"--offset", "10"}), {kUsage}, "10"},
      {"OffsetUnknownUnit", agent({"--offset", "1x"}), {kUsage}, "1x"},
      {"OffsetEmpty", agent({"--offset", ""}), {kUsage}, "offset|duration"},
      {"OffsetTwoSigns", agent({"--offset", "--1h"}), {kUsage}, "offset|duration|--1h"},
      {"OffsetTrailing", agent({"--offset", "1h1"}), {kUsage}, "1h1"},
      {"OffsetTooLong", agent({"--offset", "9999999999h"}), {kUsage}, "9999999999h"},
      {"OffsetBefore1970", agent({"--offset", "-600000h"}), {kUsage}, "1970"},
      {"PidNotANumber", {"agent", "--pid", "abc", "--offset", "1h"}, {kUsage}, "abc"},
      {"PidZero", {"agent", "--pid", "0", "--offset", "1h"}, {kUsage, 4}, "0"},
      {"PidNegative", {"agent", "--pid", "-5", "--offset", "1h"}, {kUsage, 4}, "5"},
      {"PidTooLarge", {"agent", "--pid", "99999999", "--offset", "1h"}, {4}, "99999999"},
      {"PidBeyondInt", {"agent", "--pid", "99999999999", "--offset", "1h"}, {kUsage, 4}, "9999"},
      // Dry runs: were these not refused, nothing would be changed all the same.
      {"Init", {"agent", "--pid", "1", "--offset", "1h", "--dry-run"}, {3, 5}, "1"},
      {"KernelThread", {"agent", "--pid", "2", "--offset", "1h", "--dry-run"}, {3, 5}, "kernel"},
      {"NameAbsent", {"agent", "--name", "no-such-comm", "--offset", "1h"}, {4}, "no-such-comm"},
      {"NameEmpty", {"agent", "--name", "", "--offset", "1h"}, {kUsage, 4}, "name"},
      {"ClockUnknown", agent({"--offset", "1h", "--clocks", "sundial"}), {kUsage}, "sundial"},
      {"ClocksEmpty", agent({"--offset", "1h", "--clocks", ""}), {kUsage}, "clock"},
      {"ClocksComma", agent({"--offset", "1h", "--clocks", "realtime,,tai"}), {kUsage}, "clock"},
      {"MonotonicBackwards",
       agent({"--offset", "-1h", "--clocks", "monotonic"}),
       {kUsage},
       "monotonic.*back"},
      {"DurationZero", agent({"--offset", "1h", "--duration", "0s"}), {kUsage}, "duration"},
      {"DurationNegative", agent({"--offset", "1h", "--duration", "-1s"}), {kUsage}, "duration"},
      {"LeaseNegative", agent({"--offset", "1h", "--lease", "-1s"}), {kUsage}, "lease"},
      {"EngineUnknown", agent({"--offset", "1h", "--engine-vdso", "magic"}), {kUsage}, "magic"},
      {"EnginesOff",
       agent({"--offset", "1h", "--engine-vdso", "off", "--engine-syscalls", "off"}),
       {kUsage},
       "engine"},
      {"ExperimentNameLong",
       agent({"--offset", "1h", "--experiment", std::string(200, 'x')}),
       {kUsage},
       "experiment|name"},
      {"ExperimentNameLines",
       agent({"--offset", "1h", "--experiment", "a\nb"}),
       {kUsage},
       "experiment|name"},
      {"SetNotShifted", {"set", "--pid", "@", "--offset", "1h"}, {1, 4}, "not shifted|@|no "},
      {"SetExperimentAbsent",
       {"set", "--experiment", "no-such-experiment", "--offset", "1h"},
       {4},
       "no-such-experiment"},
      {"SetNoOffset", {"set", "--pid", "@"}, {kUsage}, "--offset"},
      {"RecoverNoTarget", {"recover"}, {kUsage}, "--all|--pid"},
      {"RecoverAbsent", {"recover", "--pid", "99999999"}, {4}, "99999999"},
      {"StatusPidNotANumber", {"status", "--pid", "abc"}, {kUsage}, "abc"},
      {"RunNoCommand", {"run", "--offset", "1h"}, {kUsage}, "command|COMMAND|CMD"},
      {"RunNoOffset", {"run", "--", "true"}, {kUsage}, "--offset"},
      {"RunAbsent",
       {"run", "--offset", "1h", "--", "/no/such/program"},
       {1, 4, 126, 127},
       "/no/such/program"},
  };
  return kRefusals;
}

testing::AssertionResult refused(const Outcome& outcome, const std::vector<int>& codes) {
  if (outcome.status.signal != 0 ||
      std::find(codes.begin(), codes.end(), outcome.status.code) == codes.end()) {
    return testing::AssertionFailure() << outcome.text();
  }
  return is_one_error_line(outcome.err);
}

class BadInput : public testing::TestWithParam<Refusal> {};

TEST_P(BadInput, IsRefusedInOneLine) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(hot.pid()));
  Arguments arguments = GetParam().arguments;
  std::replace(arguments.begin(), arguments.end(), std::string("@"), std::to_string(hot.pid()));
  ASSERT_VALUE(const Outcome outcome, run_program(arguments, kSoon));
  EXPECT_TRUE(refused(outcome, GetParam().codes));
  EXPECT_THAT(outcome.err, testing::ContainsRegex(GetParam().line));
  EXPECT_TRUE(unchanged(before, hot.pid()));
  ASSERT_STATUS(hot.progress(64));
  EXPECT_STATUS(hot.healthy());
}
INSTANTIATE_TEST_SUITE_P(Live, BadInput, testing::ValuesIn(refusals()),
                         [](const testing::TestParamInfo<Refusal>& p) {
                           return std::string(p.param.name);
                         });

TEST(BadTarget, AThreadIsNotAProcess) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(hot.pid()));
  ASSERT_EQ(before.masks.size(), 2U);
  const pid_t tid = before.masks.rbegin()->first;
  ASSERT_NE(tid, hot.pid());
  ASSERT_VALUE(const Outcome outcome, run_program(agent_arguments(tid, "1h", {"--detach"})));
  EXPECT_TRUE(refused(outcome, {4}));
  EXPECT_THAT(outcome.err, testing::HasSubstr(std::to_string(hot.pid())));
  EXPECT_TRUE(unchanged(before, hot.pid()));
}

TEST(BadTarget, AZombie) {
  ASSERT_VALUE(Child child, Child::spawn({{"true"}, {}, false}));
  std::this_thread::sleep_for(Milliseconds{200});  // ended, and not reaped before wait()
  ASSERT_VALUE(const Outcome outcome, run_program(agent_arguments(child.pid(), "1h"), kSoon));
  EXPECT_TRUE(refused(outcome, {3, 4, 5}));
}

// Already traced: the line names the tracer.
TEST(BadTarget, Traced) {
  if (!find_executable("strace")) GTEST_SKIP() << "strace is missing";
  ASSERT_VALUE(Child idle, start_target("idle", {"1"}));
  ASSERT_VALUE(
      Child strace,
      Child::spawn(
          {{"strace", "-qq", "-e", "trace=none", "-p", std::to_string(idle.pid())}, {}, false}));
  for (int i = 0; i < 100; ++i) {
    ASSERT_VALUE(const Snapshot now, Snapshot::take(idle.pid()));
    if (now.tracer != 0) break;
    std::this_thread::sleep_for(Milliseconds{20});
  }
  ASSERT_VALUE(const Outcome outcome, run_program(agent_arguments(idle.pid(), "1h"), kSoon));
  EXPECT_TRUE(refused(outcome, {1, 3}));
  EXPECT_THAT(outcome.err, testing::HasSubstr("strace"));
  EXPECT_THAT(outcome.err, testing::HasSubstr(std::to_string(strace.pid())));
}

// One good target and one bad: nothing is changed when anything is refused.
TEST(BadTarget, OneOfTwo) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(hot.pid()));
  ASSERT_VALUE(const Outcome outcome,
               run_program(agent_arguments(hot.pid(), "1h", {"--detach", "--pid", "99999999"})));
  EXPECT_TRUE(refused(outcome, {4}));
  EXPECT_TRUE(unchanged(before, hot.pid()));
  EXPECT_STATUS(hot.healthy());
}

TEST(DryRun, ChangesNothing) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(hot.pid()));
  ASSERT_PROGRAM(outcome, 0, agent_arguments(hot.pid(), "1h", {"--dry-run"}));
  EXPECT_TRUE(unchanged(before, hot.pid()));
  ASSERT_STATUS(hot.progress(64));
  EXPECT_STATUS(hot.healthy());
}

// Also where only the kernel can tell that it refuses one.
TEST(DryRun, NamesTheEnginesThatServeThen) {
  ASSERT_VALUE(Child target, start_clock_target(clock_target("glibc")));
  Arguments line{"agent", "--pid", std::to_string(target.pid()), "--offset", "1h", "--json"};
  ASSERT_VALUE(Agent agent, Agent::start(line));
  ASSERT_VALUE(const auto shifted, agent.wait_event("shifted"));
  ASSERT_VALUE(const Outcome ended, agent.stop());
  line.emplace_back("--dry-run");
  ASSERT_PROGRAM(foreseen, 0, line);
  EXPECT_EQ(member(foreseen.event("planned"), "engines"), member(shifted, "engines"))
      << foreseen.text();
}

TEST(Help, IsShownAndSucceeds) {
  for (const Arguments& arguments :
       {Arguments{"--help"}, Arguments{"agent", "--help"}, Arguments{"run", "--help"},
        Arguments{"set", "--help"}, Arguments{"status", "--help"}, Arguments{"recover", "--help"},
        Arguments{"doctor", "--help"}, Arguments{"--version"}}) {
    ASSERT_PROGRAM(outcome, 0, arguments);
    EXPECT_FALSE(outcome.out.empty());
    EXPECT_EQ(outcome.err, "");
  }
}

}  // namespace
}  // namespace time_chaos::live
