// How tests use Result and Status, and skip aloud.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/base/error.h"
#include "tests/live/harness/actions.h"
#include "tests/live/harness/child.h"
#include "tests/live/harness/program.h"
#include "tests/live/harness/readings.h"
#include "tests/live/harness/snapshot.h"
#include "tests/live/harness/targets.h"
#include "tests/live/harness/torture.h"

#define LIVE_CONCAT_(a, b) a##b
#define LIVE_CONCAT(a, b) LIVE_CONCAT_(a, b)

// ASSERT_VALUE(Child target, start_target("hot")): declares target, or fails with the error's line.
#define ASSERT_VALUE_(tmp, decl, expr)                \
  auto tmp = (expr);                                  \
  ASSERT_TRUE(tmp.has_value()) << tmp.error().line(); \
  decl = std::move(*tmp)
#define ASSERT_VALUE(decl, expr) ASSERT_VALUE_(LIVE_CONCAT(live_value_, __LINE__), decl, expr)

#define ASSERT_STATUS(expr) ASSERT_TRUE(::time_chaos::live::is_ok(expr))
#define EXPECT_STATUS(expr) EXPECT_TRUE(::time_chaos::live::is_ok(expr))

// Runs the program and expects that exit code; `outcome` is declared.
#define ASSERT_PROGRAM(outcome, code, ...)                    \
  ASSERT_VALUE(const ::time_chaos::live::Outcome outcome,     \
               ::time_chaos::live::run_program(__VA_ARGS__)); \
  ASSERT_EQ(outcome.status, (::time_chaos::live::ExitStatus{(code), 0})) << outcome.text()

#define SKIP_IF_MISSING(target) \
  if (const auto why = (target).missing()) GTEST_SKIP() << *why

namespace time_chaos::live {

// The number behind the first blank: "child 17" -> 17.
pid_t pid_in(const std::string& label);

testing::AssertionResult is_ok(const Status& status);

// For INSTANTIATE_TEST_SUITE_P over strings: the string is the test's name.
inline std::string string_name(const testing::TestParamInfo<std::string>& p) {
  return p.param;
}

// How often a test repeats something: as often as the environment says, however long that takes;
// else `otherwise` times, but for no longer than `limit`, and then it says how often it did.
class Repetitions {
 public:
  Repetitions(const char* name, int otherwise, int divisor, std::chrono::seconds limit);
  Repetitions(const Repetitions&) = delete;
  Repetitions& operator=(const Repetitions&) = delete;
  Repetitions(Repetitions&&) = delete;
  Repetitions& operator=(Repetitions&&) = delete;
  ~Repetitions();
  bool next();
  [[nodiscard]] int done() const { return done_; }

 private:
  std::string name_;
  int wanted_;
  int done_ = 0;
  std::optional<std::chrono::steady_clock::time_point> end_;
};

// One line, as DESIGN §7 wants errors: begins "time-chaos: ", ends in a newline, has no other.
testing::AssertionResult is_one_error_line(const std::string& err);

// How the test framework shows it.
void PrintTo(const ExitStatus& status, std::ostream* out);

// after == before (see Snapshot).
testing::AssertionResult unchanged(const Snapshot& before, pid_t pid, Maps maps = Maps::kExact);

}  // namespace time_chaos::live
