// `run`: the command is shifted from its first reading on, and otherwise is as if started directly.
#include <csignal>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

Arguments run_once(const Arguments& command,
                   const Arguments& options = {"--engine-syscalls", "off"}) {
  Arguments result{"run", "--offset", "-1h"};
  result.insert(result.end(), options.begin(), options.end());
  result.insert(result.end(), {"--", target_path("once")});
  result.insert(result.end(), command.begin(), command.end());
  return result;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

TEST(Run, TheFirstReadingIsShifted) {
  for (int i = 0; i < 20; ++i) {
    ASSERT_PROGRAM(outcome, 0, run_once({}));
    const auto reading = Reading::parse(first_line(outcome.out));
    ASSERT_TRUE(reading.has_value()) << outcome.text();
    for (const char* field : {"rt", "gtod", "coarse", "tai"}) {
      EXPECT_LE(std::chrono::abs(reading->shift(field) - hours{-1}), kReadingTolerance)
          << field << " in " << reading->line();
    }
  }
}

TEST(Run, TheFirstReadingIsShiftedByPtraceToo) {
  ASSERT_PROGRAM(outcome, 0, run_once({}, {"--engine-syscalls", "ptrace"}));
  const auto reading = Reading::parse(first_line(outcome.out));
  ASSERT_TRUE(reading.has_value()) << outcome.text();
  for (const char* field : {"rt", "raw"}) {
    EXPECT_LE(std::chrono::abs(reading->shift(field) - hours{-1}), kReadingTolerance)
        << field << " in " << reading->line();
  }
}

TEST(Run, ExitsWithTheStatusOfTheCommand) {
  for (const int code : {0, 1, 2, 7, 42, 127, 255}) {
    ASSERT_PROGRAM(outcome, code, run_once({"exit", std::to_string(code)}));
    EXPECT_EQ(outcome.err, "");
  }
}

TEST(Run, DiesByTheSameSignal) {
  for (const int number : {SIGTERM, SIGKILL, SIGINT, SIGSEGV, SIGABRT, SIGPIPE, SIGUSR1}) {
    ASSERT_VALUE(const Outcome outcome, run_program(run_once({"raise", std::to_string(number)})));
    EXPECT_EQ(outcome.status, (ExitStatus{0, number})) << outcome.text();
  }
}

TEST(Run, PassesInputAndOutputThrough) {
  const std::string text = "some input\nin two lines";
  ASSERT_VALUE(const Outcome outcome,
               run_program(run_once({"cat", "exit", "3"}),
                           {.env = {}, .input = text, .timeout = Milliseconds{20000}}));
  EXPECT_EQ(outcome.status, (ExitStatus{3, 0})) << outcome.text();
  const size_t newline = outcome.out.find('\n');
  ASSERT_NE(newline, std::string::npos);
  EXPECT_EQ(outcome.out.substr(newline + 1), text + "\n");
}

TEST(Run, PassesSignalsOn) {
  for (const int number : {SIGTERM, SIGINT}) {
    ASSERT_VALUE(Agent run, Agent::start(run_once({"sleep", "60000"})));
    ASSERT_VALUE(const std::string line, run.child().read_line(Milliseconds{10000}));
    ASSERT_VALUE(const Outcome outcome, run.stop(number));
    EXPECT_EQ(outcome.status, (ExitStatus{0, number})) << outcome.text();
  }
}

TEST(Run, LooksTheCommandUpInPath) {
  ASSERT_PROGRAM(outcome, 0,
                 {"run", "--offset", "-1h", "--engine-syscalls", "off", "--", "sh", "-c",
                  "exec " + target_path("once") + " >/dev/null"});
}

// Interpreters: their first reading comes long after exec, through a library that was loaded then.
TEST(Run, Python) {
  if (!find_executable("/usr/bin/python3")) GTEST_SKIP() << "python3 is missing";
  ASSERT_PROGRAM(
      outcome, 0,
      {"run", "--offset", "1h", "--engine-syscalls", "off", "--", "/usr/bin/python3", "-c",
       "import time; m=time.monotonic_ns(); r=time.time_ns(); "
       "print(f'rt {r//10**9}.{r%10**9:09} mono {m//10**9}.{m%10**9:09}')"});
  const auto reading = Reading::parse(first_line(outcome.out));
  ASSERT_TRUE(reading.has_value()) << outcome.text();
  EXPECT_LE(std::chrono::abs(reading->shift("rt") - hours{1}), kReadingTolerance);
}

}  // namespace
}  // namespace time_chaos::live
