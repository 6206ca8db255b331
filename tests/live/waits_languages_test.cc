// Timed waits of languages: the locks, timers and sleeps that their libraries make of the kernel's.
#include <unistd.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

constexpr Milliseconds kPatience{30000};
constexpr int64_t kRounding = 2'000;  // clocks of milliseconds; in microseconds
constexpr int64_t kSlow = 3'000'000;  // a busy machine

struct Language {
  std::string name;
  Command command;
  std::string file;
};

std::vector<Language> languages() {
  const std::string python = std::string(LIVE_SOURCES) + "/targets/waits.py";
  return {{"python", {{"python3", python}, {}, false}, python},
          {"java",
           {{"java", "-Xmx64m", "-XX:+UseSerialGC", "-cp", LIVE_TARGETS, "Waits"}, {}, false},
           target_path("Waits.class")},
          {"go", {{target_path("waits_go")}, {}, false}, target_path("waits_go")}};
}

class LanguageWaits : public testing::TestWithParam<std::string> {};

// The least lateness of each kind, in microseconds of the target's clocks; `early`: a clock that
// goes back and forth.
std::map<std::string, int64_t> expect_waits(Child& target, int64_t early = 0) {
  std::map<std::string, int64_t> least;
  for (int i = 0; i < 8; i++) {
    const auto line = target.read_line(kPatience);
    EXPECT_TRUE(line) << line.error().line();
    if (!line) break;
    std::string kind;
    int64_t late = -kSlow;
    std::istringstream(*line) >> kind >> late;
    EXPECT_GE(late, -kRounding - early) << *line;
    EXPECT_LE(late, kSlow) << *line;
    const auto known = least.emplace(kind, late).first;
    known->second = std::min(known->second, late);
  }
  return least;
}

// Nothing where it is not on this machine.
std::optional<Language> language_named(const std::string& name) {
  const auto all = languages();
  const auto it =
      std::find_if(all.begin(), all.end(), [&](const Language& l) { return l.name == name; });
  const std::string& program = it->command.argv[0];
  const bool there = ::access(it->file.c_str(), R_OK) == 0 &&
                     (program[0] == '/' || find_executable(program).has_value());
  return there ? std::optional(*it) : std::nullopt;
}

TEST_P(LanguageWaits, EndInTheTargetsTime) {
  const auto language = language_named(GetParam());
  if (!language) GTEST_SKIP() << GetParam() << " is not here";
  for (const Arguments& more : {Arguments{}, {"--clocks", "realtime,monotonic"}}) {
    ASSERT_VALUE(Child target, Child::spawn(language->command));
    ASSERT_VALUE([[maybe_unused]] const std::string first, target.read_line(kPatience));
    ASSERT_VALUE(HeldShift held, trace_held(target.pid(), more.empty() ? "-1h" : "1h", more));
    // Of the wait in flight the end has moved, and that is right: by an hour, if it is one for a
    // time. What steps back moves with it.
    if (more.empty()) {
      ASSERT_VALUE([[maybe_unused]] const auto set, set_offset(target.pid(), "-1s"));
    }
    std::this_thread::sleep_for(Milliseconds(1500));
    target.discard_output();
    ASSERT_VALUE([[maybe_unused]] const std::string skipped, target.read_line(kPatience));
    expect_waits(target);
    ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(held.agent));
  }
}

// One that is not scaled is early at half the rate, and at twice the rate as late as it is long.
TEST_P(LanguageWaits, PassAtTheRateOfTheTargetsClocks) {
  const auto language = language_named(GetParam());
  if (!language) GTEST_SKIP() << GetParam() << " is not here";
  constexpr int64_t kHalfOfAWait = 150'000;
  struct Rated {
    std::string rate;
    Child target;
    HeldShift held;
  };
  std::vector<Rated> all;  // side by side
  for (const std::string rate : {"2", "0.5"}) {
    ASSERT_VALUE(Child target, Child::spawn(language->command));
    ASSERT_VALUE([[maybe_unused]] const std::string first, target.read_line(kPatience));
    ASSERT_VALUE(HeldShift held, trace_held(target.pid(), "1h",
                                            {"--rate", rate, "--clocks", "realtime,monotonic"}));
    all.push_back({rate, std::move(target), std::move(held)});
  }
  std::this_thread::sleep_for(Milliseconds(1500));
  for (Rated& one : all) one.target.discard_output();
  for (Rated& one : all) {
    ASSERT_VALUE([[maybe_unused]] const std::string skipped, one.target.read_line(kPatience));
    for (const auto& [kind, late] : expect_waits(one.target)) {
      EXPECT_LT(late, kHalfOfAWait) << kind << " at the rate " << one.rate;
    }
    ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(one.held.agent));
  }
}

TEST_P(LanguageWaits, EndThoughTheWallClockGoesBackAndForth) {
  const auto language = language_named(GetParam());
  if (!language) GTEST_SKIP() << GetParam() << " is not here";
  ASSERT_VALUE(Child target, Child::spawn(language->command));
  ASSERT_VALUE([[maybe_unused]] const std::string first, target.read_line(kPatience));
  ASSERT_VALUE(HeldShift held, trace_held(target.pid(), "1h", {"--strobe", "200ms,700ms"}));
  ASSERT_VALUE([[maybe_unused]] const std::string skipped, target.read_line(kPatience));
  expect_waits(target, 200'000);
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(held.agent));
}

// A wait for a time that a frozen clock does not reach ends when the clock is given back; one for a
// while goes by a clock that is not frozen.
TEST_P(LanguageWaits, EndWhenAFrozenWallClockIsGivenBack) {
  const auto language = language_named(GetParam());
  if (!language) GTEST_SKIP() << GetParam() << " is not here";
  ASSERT_VALUE(Child target, Child::spawn(language->command));
  ASSERT_VALUE([[maybe_unused]] const std::string first, target.read_line(kPatience));
  ASSERT_VALUE(HeldShift held, trace_held(target.pid(), "-1h", {"--freeze"}));
  std::this_thread::sleep_for(Milliseconds(1500));
  target.discard_output();
  if (GetParam() == "go") expect_waits(target);  // its timers go by the monotonic clock, all
  ASSERT_VALUE([[maybe_unused]] const auto recovered, stop_agent(held.agent));
  // The one in flight is as late as the clock stepped.
  ASSERT_VALUE([[maybe_unused]] const std::string ended, target.read_line(kPatience));
  expect_waits(target);
}

INSTANTIATE_TEST_SUITE_P(All, LanguageWaits, testing::Values("python", "java", "go"), string_name);

}  // namespace
}  // namespace time_chaos::live
