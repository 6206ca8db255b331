// A target in every kind of blocking call: neither an attach nor a recover in between changes what
// the call returns, or when.
#include <algorithm>
#include <cerrno>
#include <sstream>
#include <string_view>
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

struct Kind {
  const char* name;
  long result;
  int error;
};

void PrintTo(const Kind& kind, std::ostream* out) {
  *out << kind.name;
}

// What the calls do when nobody interferes (man 7 signal says which of them a stop can interrupt).
constexpr Kind kKinds[] = {
    {"nanosleep", 0, 0},
    {"clock_nanosleep", 0, 0},
    {"poll", 0, 0},
    {"ppoll", 0, 0},
    {"select", 0, 0},
    {"futex", -1, ETIMEDOUT},
    {"read", 1, 0},
    {"accept", -1, EAGAIN},
    {"epoll_wait", 0, 0},
    {"epoll_event", 1, 0},
    {"sigtimedwait", -1, EAGAIN},
    {"semtimedop", -1, EAGAIN},
    {"msgrcv", 1, 0},
    {"recv", -1, EAGAIN},
    {"recv_data", 1, 0},
    {"pause", -1, EINTR},
    {"sigsuspend", -1, EINTR},
    {"wait4", 1, 0},
    {"flock", 0, 0},
    {"timerfd", 8, 0},
    {"io_getevents", 0, 0},
};
constexpr int kWaitMs = 1500;
constexpr int kEarlyMs = 5;
constexpr int kLateMs = 300;
// These begin their wait anew after an interruption (README, Limits); the others go on with it.
constexpr std::string_view kBeginAnew[] = {"accept",     "epoll_wait", "sigtimedwait",
                                           "semtimedop", "recv",       "io_getevents"};

struct Answer {
  std::string kind;
  long result = 0;
  int error = 0;
  int ms = 0;
};

Answer parse(const std::string& line) {
  Answer a;
  std::string word;
  std::istringstream in{line};
  in >> a.kind >> word >> a.result >> word >> a.error >> word >> a.ms;
  return a;
}

class Blocked : public testing::TestWithParam<Kind> {};

TEST_P(Blocked, CallIsNotDisturbed) {
  const Kind kind = GetParam();
  ASSERT_VALUE(Child child, start_target("blocked", {kind.name, std::to_string(kWaitMs)}));
  ASSERT_VALUE(const std::string ready, child.read_line(Milliseconds{5000}));
  const auto began = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(Milliseconds{100});
  ASSERT_VALUE(const auto shifted, shift_detached(child.pid(), "1h"));
  std::this_thread::sleep_for(Milliseconds{100});
  ASSERT_VALUE(const auto recovered, recover_target(child.pid()));
  const auto disturbed =
      std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - began);
  const bool anew =
      std::find(std::begin(kBeginAnew), std::end(kBeginAnew), kind.name) != std::end(kBeginAnew);
  ASSERT_VALUE(const std::string line, child.read_line(Milliseconds{kWaitMs + 5000}));
  const Answer answer = parse(line);
  EXPECT_EQ(answer.result, kind.result) << line;
  EXPECT_EQ(answer.error, kind.error) << line;
  EXPECT_GE(answer.ms, kWaitMs - kEarlyMs) << line;
  EXPECT_LE(answer.ms, kWaitMs + kLateMs + (anew ? disturbed.count() : 0)) << line;
}
INSTANTIATE_TEST_SUITE_P(Live, Blocked, testing::ValuesIn(kKinds),
                         [](const testing::TestParamInfo<Kind>& p) { return p.param.name; });

// The parent of a vfork is in uninterruptible sleep: it cannot be stopped until its child is gone.
// The agent waits, or refuses in one line; the target does not notice.
TEST(BlockedIn, Vfork) {
  ASSERT_VALUE(Child child, start_target("blocked", {"vfork", std::to_string(kWaitMs)}));
  ASSERT_VALUE(const std::string ready, child.read_line(Milliseconds{5000}));
  std::this_thread::sleep_for(Milliseconds{100});
  ASSERT_VALUE(const Outcome outcome,
               run_program(agent_arguments(child.pid(), "1h", {"--detach"})));
  if (outcome.status != ExitStatus{0, 0}) {
    EXPECT_TRUE(is_one_error_line(outcome.err));
  }
  ASSERT_VALUE(const std::string line, child.read_line(Milliseconds{kWaitMs + 5000}));
  const Answer answer = parse(line);
  EXPECT_EQ(answer.result, 1) << line;
  EXPECT_LE(answer.ms, kWaitMs + kLateMs) << line;
  ASSERT_VALUE(const ExitStatus status, child.wait(Milliseconds{5000}));
  EXPECT_EQ(status, (ExitStatus{0, 0}));
}

}  // namespace
}  // namespace time_chaos::live
