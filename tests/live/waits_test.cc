// Waits for absolute times end in the target's time: in every way that Linux has, on both clocks,
// whatever is done to these, before a wait or in the middle of it. The target judges itself that no
// wait is over before its clock shows the end; how long each took is judged here, generously,
// because the machine may be busy.
#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

constexpr Milliseconds kPatience{30000};

void pause(int milliseconds) {
  std::this_thread::sleep_for(Milliseconds(milliseconds));
}

struct Wait {
  std::string kind;
  std::string clock;
  int result = -1;
  double real_ms = 0;  // it took
  double late_ms = 0;  // by its own clock
};

Result<Child> start_waits(const std::vector<std::string>& arguments = {}) {
  TC_TRY(Child target, start_target("waits", arguments, true));
  TC_TRY(const std::string line, target.read_line(kPatience));
  if (line != "ready") return fail(Exit::kFailed, "the target said " + line);
  return target;
}

Result<Agent> shift(pid_t pid, Arguments how) {
  Arguments all{"agent", "--pid", std::to_string(pid), "--json", "--engine-syscalls", "ptrace"};
  all.insert(all.end(), how.begin(), how.end());
  TC_TRY(Agent agent, Agent::start(all));
  TC_CHECK(agent.wait_event("following"));
  return agent;
}

Wait parse(const std::string& line) {
  Wait wait;
  int64_t real = 0, late = 0;
  std::istringstream(line) >> wait.kind >> wait.clock >> wait.result >> real >> late;
  wait.real_ms = static_cast<double>(real) / 1000;
  wait.late_ms = static_cast<double>(late) / 1000;
  return wait;
}

// All that the target says until "all", or until nothing comes any more.
Result<std::vector<Wait>> read_waits(Child& target, Milliseconds patience = kPatience) {
  std::vector<Wait> waits;
  for (;;) {
    TC_TRY(const std::string line, target.read_line(patience));
    if (line == "all") return waits;
    waits.push_back(parse(line));
  }
}

std::string text(const Wait& wait) {
  return fmt::format("{} {}: result {}, took {} ms, late {} ms", wait.kind, wait.clock, wait.result,
                     wait.real_ms, wait.late_ms);
}

// POSIX timers that were set before an attach keep their ends: nobody knows how they were set.
constexpr auto kWithoutTimers = "timer";

// By kind and clock, those that every kernel has. An empty `clock`: of both.
std::set<std::string> ways_on(const std::string& clock, const std::string& without) {
  std::set<std::string> ways;
  const auto add = [&](const std::string& on, std::initializer_list<const char*> kinds) {
    if (!clock.empty() && clock != on) return;
    for (const std::string kind : kinds) {
      if (kind != without) ways.insert(fmt::format("{} {}", kind, on));
    }
  };
  for (const char* on : {"realtime", "monotonic"}) {
    add(on, {"nanosleep", "futex", "requeue_pi", "timerfd", "timer", "condition"});
  }
  add("realtime", {"lock_pi", "mq_receive", "mq_send", "semaphore"});
  return ways;
}

constexpr double kSlow = 3000;  // of a busy machine
constexpr double kClockError = 0.5;

void expect_waits(const std::vector<Wait>& waits, const std::string& clock, double least,
                  double early = 0, const std::string& without = "") {
  std::set<std::string> missing = ways_on(clock, without);
  for (const Wait& wait : waits) {
    EXPECT_EQ(wait.result, 0) << text(wait);
    EXPECT_GE(wait.late_ms, -early) << text(wait);
    if (!clock.empty() && wait.clock != clock) continue;
    EXPECT_GE(wait.real_ms, least - kClockError) << text(wait);
    EXPECT_LE(wait.real_ms, least + kSlow) << text(wait);
    missing.erase(fmt::format("{} {}", wait.kind, wait.clock));
  }
  EXPECT_THAT(missing, testing::IsEmpty());
}

struct Case {
  std::string name;
  Arguments how;
  std::string clock;  // that it shifts
  int length;         // of the wait in the target's time, ms
  double least;       // in real time
  double early = 0;   // a clock that goes back and forth
};

class Waits : public testing::TestWithParam<Case> {};

TEST_P(Waits, EndInTheTargetsTime) {
  const Case& c = GetParam();
  ASSERT_VALUE(Child target, start_waits());
  ASSERT_VALUE(Agent agent, shift(target.pid(), c.how));
  ASSERT_STATUS(target.write_line(std::to_string(c.length)));
  ASSERT_VALUE(const auto waits, read_waits(target));
  expect_waits(waits, c.clock, c.least, c.early);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
  // A monotonic clock stays ahead, and nobody is left to say when it shows an end.
  if (c.clock != "realtime") return;
  ASSERT_STATUS(target.write_line("50"));
  ASSERT_VALUE(const auto after, read_waits(target));
  expect_waits(after, "", 50);
}

const Arguments kBoth{"--clocks", "realtime,monotonic"};
Arguments both(Arguments how) {
  how.insert(how.end(), kBoth.begin(), kBoth.end());
  return how;
}

INSTANTIATE_TEST_SUITE_P(
    All, Waits,
    testing::Values(Case{"Ahead", both({"--offset", "1h"}), "", 300, 300},
                    Case{"Behind", {"--offset", "-1h"}, "realtime", 300, 300},
                    Case{"Fast", both({"--rate", "4"}), "", 1200, 300},
                    Case{"Slow", {"--rate", "0.5"}, "realtime", 150, 300},
                    Case{"SlowMonotonic", both({"--rate", "0.5"}), "monotonic", 150, 250},
                    Case{"Strobe", {"--strobe", "200ms,1s"}, "realtime", 1500, 1300, 200},
                    Case{"At", {"--at", "2037-12-31T00:00:00Z"}, "realtime", 300, 300}),
    [](const auto& test) { return test.param.name; });

// Waits for a length of time, and what timers and calls say is left of one.
std::set<std::string> ways_of_length(bool settings) {
  std::set<std::string> ways;
  const auto add = [&](std::initializer_list<const char*> kinds) {
    for (const char* kind : kinds) ways.insert(kind);
  };
  add({"nanosleep", "clock_nanosleep", "poll", "ppoll", "select", "select_left", "pselect",
       "epoll_wait", "futex", "sigtimedwait", "semtimedop"});
  if (settings) add({"remainder", "timerfd", "timer", "itimer", "receive"});
  return ways;
}

void expect_lengths(const std::vector<Wait>& waits, double least, bool settings) {
  std::set<std::string> missing = ways_of_length(settings);
  for (const Wait& wait : waits) {
    EXPECT_EQ(wait.result, 0) << text(wait);
    EXPECT_GE(wait.late_ms, 0) << text(wait);
    EXPECT_GE(wait.real_ms, least - kClockError) << text(wait);
    EXPECT_LE(wait.real_ms, least + kSlow) << text(wait);
    missing.erase(wait.kind);
  }
  EXPECT_THAT(missing, testing::IsEmpty());
}

class Lengths : public testing::TestWithParam<Case> {};

TEST_P(Lengths, PassInTheTargetsTime) {
  const Case& c = GetParam();
  ASSERT_VALUE(Child target, start_waits({"lengths"}));
  ASSERT_VALUE(Agent agent, shift(target.pid(), c.how));
  pause(200);  // a monotonic clock takes its rate a moment later
  ASSERT_STATUS(target.write_line(std::to_string(c.length)));
  ASSERT_VALUE(const auto waits, read_waits(target));
  expect_lengths(waits, c.least, true);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
}

// A fast clock takes a quarter of the time, a slow one four times as much.
INSTANTIATE_TEST_SUITE_P(All, Lengths,
                         testing::Values(Case{"Ahead", both({"--offset", "1h"}), "", 300, 300},
                                         Case{"Fast", both({"--rate", "4"}), "", 2000, 500},
                                         Case{"Slow", both({"--rate", "0.25"}), "", 500, 2000},
                                         Case{"Frozen", {"--freeze"}, "", 300, 300},
                                         Case{"Strobe", {"--strobe", "200ms,1s"}, "", 300, 300}),
                         [](const auto& test) { return test.param.name; });

// Programs that a target executes have no vDSO and no pages of ours: 64-bit and 32-bit ones.
class WaitsOfAProgram : public testing::TestWithParam<std::string> {};

TEST_P(WaitsOfAProgram, ThatATargetExecutes) {
  const std::string path = target_path(GetParam());
  if (::access(path.c_str(), X_OK) != 0) GTEST_SKIP() << path << " was not built";
  for (const std::string offset : {"-1h", "1h"}) {
    ASSERT_PROGRAM(outcome, 0,
                   {"run", "--offset", offset, "--engine-syscalls", "ptrace", "--", "sh", "-c",
                    path + " 300; true"});
    std::vector<Wait> waits;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line) && line != "all";)
      waits.push_back(parse(line));
    expect_waits(waits, "realtime", 300);
  }
}

INSTANTIATE_TEST_SUITE_P(All, WaitsOfAProgram, testing::Values("waits", "waits_m32"), string_name);

// More at once than there is room for behind a vDSO or in a code page.
constexpr int kMany = 200;

void expect_many(const std::vector<Wait>& waits, double least) {
  EXPECT_EQ(waits.size(), size_t{kMany});
  for (const Wait& wait : waits) {
    EXPECT_EQ(wait.result, 0) << text(wait);
    EXPECT_GE(wait.late_ms, 0) << text(wait);
    EXPECT_GE(wait.real_ms, least - kClockError) << text(wait);
    EXPECT_LE(wait.real_ms, least + kSlow) << text(wait);
  }
}

int anonymous_code(pid_t pid) {
  std::ifstream maps(fmt::format("/proc/{}/maps", pid));
  int count = 0;
  for (std::string line; std::getline(maps, line);) {
    count += line.find(" r-xp 00000000 00:00 0") != std::string::npos &&
             line.find('[') == std::string::npos;
  }
  return count;
}

TEST(ManyWaits, AllEndInTheTargetsTime) {
  ASSERT_VALUE(Child target, start_waits({"many", std::to_string(kMany)}));
  for (const std::string offset : {"-1h", "1h"}) {
    ASSERT_VALUE(Agent agent, shift(target.pid(), {"--offset", offset}));
    ASSERT_STATUS(target.write_line("1000"));
    ASSERT_VALUE(const auto waits, read_waits(target));
    expect_many(waits, 1000);
    ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
    EXPECT_EQ(anonymous_code(target.pid()), 0);
  }
}

TEST_P(WaitsOfAProgram, ManyThatATargetExecutes) {
  const std::string path = target_path(GetParam());
  if (::access(path.c_str(), X_OK) != 0) GTEST_SKIP() << path << " was not built";
  ASSERT_PROGRAM(outcome, 0,
                 {"run", "--offset", "-1h", "--engine-syscalls", "ptrace", "--", "sh", "-c",
                  fmt::format("{} many {} 1000; true", path, kMany)});
  std::vector<Wait> waits;
  std::istringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line) && line != "all";) waits.push_back(parse(line));
  expect_many(waits, 1000);
}

Status ask(Child& target, int length, const std::string& without = "") {
  return target.write_line(fmt::format("{} {}", length, without));
}

Status set(pid_t pid, const Arguments& how) {
  Arguments all{"set", "--pid", std::to_string(pid), "--json"};
  all.insert(all.end(), how.begin(), how.end());
  TC_TRY(const Outcome outcome, run_program(all));
  return outcome.status == ExitStatus{} ? Status() : fail(Exit::kFailed, outcome.text());
}

// A clock that stands still shows no end: nobody gets one, until it goes on.
TEST(WaitsInFlight, AFrozenClockEndsNoneUntilItGoesOn) {
  ASSERT_VALUE(Child target, start_waits());
  ASSERT_VALUE(Agent agent, shift(target.pid(), {"--freeze"}));
  ASSERT_STATUS(ask(target, 300));
  pause(700);
  ASSERT_STATUS(set(target.pid(), {"--rate", "1"}));
  ASSERT_VALUE(const auto waits, read_waits(target));
  expect_waits(waits, "realtime", 900);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
}

// The clock steps to an hour ahead in the middle of a wait for an hour, and the wait is over soon.
TEST(WaitsInFlight, AnAttachEndsThemInTheTargetsTime) {
  ASSERT_VALUE(Child target, start_waits());
  ASSERT_STATUS(ask(target, 3600'500, kWithoutTimers));
  pause(100);
  ASSERT_VALUE(Agent agent, shift(target.pid(), both({"--offset", "1h"})));
  ASSERT_VALUE(const auto waits, read_waits(target));
  expect_waits(waits, "", 500, 0, kWithoutTimers);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
}

// Recovered in its last part, a wait is not begun anew with its whole length; but for those that
// Linux itself does not go on with after a stop (README, Limits).
TEST(WaitsInFlight, RecoverDoesNotLengthenThem) {
  ASSERT_VALUE(Child target, start_waits({"lengths"}));
  ASSERT_VALUE(Agent agent, shift(target.pid(), both({"--rate", "0.5"})));
  pause(200);
  ASSERT_STATUS(target.write_line("3500 settings"));
  pause(6700);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
  ASSERT_VALUE(const auto waits, read_waits(target));
  const std::set<std::string> anew{"semtimedop", "epoll_wait", "epoll_pwait2", "sigtimedwait"};
  for (const Wait& wait : waits) {
    EXPECT_GE(wait.real_ms, 3500 - kClockError) << text(wait);
    if (anew.contains(wait.kind)) continue;
    EXPECT_LE(wait.real_ms, 7000 + 3000) << text(wait);  // begun anew: 10200
  }
}

// What was left of a wait is nothing to the program that has been executed meanwhile.
TEST(WaitsInFlight, AreNotReportedToANewProgram) {
  ASSERT_VALUE(Child target, start_target("reexec", {}, true));
  ASSERT_VALUE([[maybe_unused]] const std::string ready, target.read_line(kPatience));
  ASSERT_VALUE(Agent agent, shift(target.pid(), both({"--rate", "2"})));
  pause(200);
  ASSERT_STATUS(target.write_line("go"));
  ASSERT_VALUE(const std::string line, target.read_line(kPatience));
  EXPECT_EQ(line, "600 77");
}

// A second of a clock that hardly goes, and then is fast: what has passed of it counts.
TEST(WaitsInFlight, ANewRateHoldsForWhatIsLeftOfALength) {
  ASSERT_VALUE(Child target, start_waits({"lengths"}));
  ASSERT_VALUE(Agent agent, shift(target.pid(), both({"--rate", "0.05"})));
  ASSERT_STATUS(target.write_line("1000 settings"));
  pause(1000);
  ASSERT_STATUS(set(target.pid(), both({"--rate", "2"})));
  ASSERT_VALUE(const auto waits, read_waits(target));
  expect_lengths(waits, 1300, false);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
}

// Those of the wall clock. Monotonic ones have to wait for their hour.
std::vector<Wait> read_wall_waits(Child& target) {
  std::vector<Wait> waits;
  for (;;) {
    const auto line = target.read_line(Milliseconds(4000));
    if (!line) return waits;
    waits.push_back(parse(*line));
    EXPECT_EQ(waits.back().clock, "realtime") << *line;
  }
}

TEST(WaitsInFlight, SetMovesTheirEnds) {
  ASSERT_VALUE(Child target, start_waits());
  ASSERT_VALUE(Agent agent, shift(target.pid(), {"--offset", "-1h"}));
  ASSERT_STATUS(ask(target, 3600'600));
  pause(100);
  ASSERT_STATUS(set(target.pid(), {"--offset", "-1h1s"}));  // back by a second
  pause(100);
  ASSERT_STATUS(set(target.pid(), {"--offset", "-1s"}));
  expect_waits(read_wall_waits(target), "realtime", 1600);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
}

TEST(WaitsInFlight, RecoverMovesTheirEnds) {
  ASSERT_VALUE(Child target, start_waits());
  ASSERT_VALUE(Agent agent, shift(target.pid(), {"--offset", "-1h"}));
  ASSERT_STATUS(ask(target, 3600'900));
  pause(100);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
  expect_waits(read_wall_waits(target), "realtime", 900);
}

// Of a program whose only thread waits without an end. Each expires once for each of its ends.
class TimersInFlight : public testing::Test {
 protected:
  void SetUp() override { ASSERT_VALUE(target_, start_waits({"timers"})); }
  void change(const std::string& line) {
    ASSERT_STATUS(target_->write_line(line));
    ASSERT_VALUE(const std::string done, target_->read_line(kPatience));
    EXPECT_EQ(done, "done");
  }
  void expect(int timer) {
    ASSERT_VALUE(const std::string line, target_->read_line(kPatience));
    int which = -1;
    int64_t late = -1;
    std::istringstream(line) >> which >> late;
    EXPECT_EQ(which, timer) << line;
    EXPECT_GE(late, 0) << line;
    EXPECT_LE(late, static_cast<int64_t>(kSlow * 1000)) << line;
  }
  void expect_none(int milliseconds) {
    const auto line = target_->read_line(Milliseconds(milliseconds));
    EXPECT_FALSE(line) << *line;
  }
  [[nodiscard]] pid_t pid() const { return target_->pid(); }

  std::optional<Child> target_;
};

TEST_F(TimersInFlight, GoWithTheirClock) {
  ASSERT_VALUE(Agent agent, shift(pid(), {"--offset", "1h"}));
  change("set 0 50 0");
  expect(0);
  change("set 1 3600500 700");
  change("set 2 3600600 0");
  change("delete 2");
  change("set 3 7200900 0");
  ASSERT_STATUS(set(pid(), {"--offset", "2h"}));
  expect(1);
  expect(1);
  ASSERT_STATUS(set(pid(), {"--offset", "1h"}));
  expect_none(1500);
  ASSERT_STATUS(set(pid(), {"--offset", "3h"}));
  // What repeats has missed an hour, and is over at once; behind it is its next end.
  std::set<int> seen;
  for (int i = 0; i < 2; i++) {
    ASSERT_VALUE(const std::string line, target_->read_line(kPatience));
    seen.insert(std::stoi(line));
  }
  EXPECT_EQ(seen, (std::set<int>{1, 3}));
  change("set 1 3600000 0");
  expect_none(1000);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
  expect_none(500);
}

// Of a program that a target executes, of 32 bits as well.
TEST_P(WaitsOfAProgram, ItsTimersGoWithTheirClock) {
  const std::string path = target_path(GetParam());
  if (::access(path.c_str(), X_OK) != 0) GTEST_SKIP() << path << " was not built";
  const Arguments command{
      program_path(), "run", "--offset", "1h", "--engine-syscalls",
      "ptrace",       "--",  "sh",       "-c", "echo $$; " + path + " timers; true"};
  ASSERT_VALUE(Child run, Child::spawn({command, {}, true}));
  ASSERT_VALUE(const std::string shell, run.read_line(kPatience));
  ASSERT_VALUE(const std::string ready, run.read_line(kPatience));
  ASSERT_STATUS(run.write_line("set 0 3600500 0"));
  ASSERT_VALUE(const std::string done, run.read_line(kPatience));
  EXPECT_EQ(ready + done, "readydone");
  ASSERT_STATUS(set(std::stoi(shell), {"--offset", "2h"}));
  ASSERT_VALUE(const std::string line, run.read_line(kPatience));
  EXPECT_EQ(line.rfind("0 ", 0), 0U) << line;
  EXPECT_EQ(line.rfind("0 -", 0), std::string::npos) << line;
  run.close_input();
  ASSERT_VALUE(const ExitStatus status, run.wait(kPatience));
  EXPECT_EQ(status, ExitStatus{});
}

// Recovered, they have the ends that the host's clock will show.
TEST_F(TimersInFlight, GetTheirRealEndsAtTheRecovery) {
  ASSERT_VALUE(Agent agent, shift(pid(), {"--offset", "-1h"}));
  change("set 0 3601500 0");
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
  expect(0);
}

// With its agent killed they keep the ends that they have.
TEST_F(TimersInFlight, OfAKilledAgentKeepTheirEnds) {
  ASSERT_VALUE(Agent agent, shift(pid(), {"--offset", "-1h"}));
  change("set 0 600 0");
  change("set 1 3600600 0");
  ASSERT_STATUS(agent.child().signal(SIGKILL));
  ASSERT_VALUE(const Outcome outcome, agent.wait());
  expect(0);
  ASSERT_STATUS(recover_whatever(pid()));
  expect_none(500);
}

// The case that began this field: time goes back by an hour in the middle of a wait, and comes
// back.
TEST(WaitsInFlight, RecoverGivesThemTheirRealEnds) {
  ASSERT_VALUE(Child target, start_waits({"sem"}));
  pause(300);
  {
    ASSERT_VALUE(Agent agent, shift(target.pid(), {"--offset", "-1h"}));
    // Until it was followed its waits were over at once.
    pause(100);
    target.discard_output();
    EXPECT_FALSE(target.read_line(Milliseconds(1200)));
    ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
  }
  for (int i = 0; i < 3; i++) {
    ASSERT_VALUE(const std::string line, target.read_line(kPatience));
    EXPECT_EQ(line.rfind("late ", 0), 0U) << line;
    EXPECT_EQ(line.rfind("late -", 0), std::string::npos) << line;
  }
}

// Again and again a thread is made to set the others' timers.
TEST(WaitsInFlight, ManyChangesLeaveNoRegisterChanged) {
  ASSERT_VALUE(Child target, start_waits({"loop", "8"}));
  ASSERT_VALUE(Agent agent, shift(target.pid(), {"--offset", "-1h"}));
  for (int i = 0; i < 30; i++) {
    // Back, so that no wait lasts for longer than its thread has thought.
    ASSERT_STATUS(set(target.pid(), {"--offset", fmt::format("-{}ms", 3600'000 - i)}));
    ASSERT_TRUE(target.running()) << target.unread_output();
  }
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(agent));
  ASSERT_STATUS(target.write_line("end"));
  ASSERT_VALUE(const std::string line, target.read_line(kPatience));
  EXPECT_EQ(line.rfind("done ", 0), 0U) << line;
}

// Its agent is killed in the middle of waits whose ends were mapped: every call returns with the
// registers that it was made with, signals or not, and whoever recovers it finds it well.
// Of many threads the first ones map room for the others, again after every recovery.
class KilledWaits : public testing::TestWithParam<std::string> {};

TEST_P(KilledWaits, LeaveNoRegisterChanged) {
  ASSERT_VALUE(Child target, start_waits({"loop", GetParam()}));
  Repetitions repetitions("TIME_CHAOS_WAIT_KILLS", 30, 1, std::chrono::seconds(40));
  while (repetitions.next()) {
    // Not ahead: who has read that clock before the agent's end, and waits by it afterwards, has to
    // wait until it is true.
    ASSERT_VALUE(Agent agent, shift(target.pid(), {"--offset", "-1h"}));
    std::this_thread::sleep_for(std::chrono::microseconds(repetitions.done() * 777 % 20'000));
    // Or at its end, at which it sets their timers anew.
    if (repetitions.done() % 2 == 0) {
      ASSERT_STATUS(agent.child().signal(SIGINT));
      std::this_thread::sleep_for(std::chrono::microseconds(repetitions.done() * 331 % 6'000));
    }
    ASSERT_STATUS(agent.child().signal(SIGKILL));
    ASSERT_VALUE(const Outcome outcome, agent.wait());
    if (repetitions.done() % 3 == 0) pause(30);
    ASSERT_STATUS(recover_whatever(target.pid()));
    ASSERT_TRUE(target.running()) << target.unread_output();
  }
  ASSERT_STATUS(target.write_line("end"));
  ASSERT_VALUE(const std::string line, target.read_line(kPatience));
  EXPECT_EQ(line.rfind("done ", 0), 0U) << line;
  ASSERT_VALUE(const ExitStatus status, target.wait(kPatience));
  EXPECT_EQ(status, ExitStatus{});
}

INSTANTIATE_TEST_SUITE_P(All, KilledWaits, testing::Values("8", "60"), string_name);

}  // namespace
}  // namespace time_chaos::live
