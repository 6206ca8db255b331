// Timed waits of languages: the locks, timers and sleeps that their libraries make of the kernel's.
#include <unistd.h>

#include <algorithm>
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

void expect_waits(Child& target) {
  for (int i = 0; i < 8; i++) {
    ASSERT_VALUE(const std::string line, target.read_line(kPatience));
    std::string kind;
    int64_t late = -kSlow;
    std::istringstream(line) >> kind >> late;
    EXPECT_GE(late, -kRounding) << line;
    EXPECT_LE(late, kSlow) << line;
  }
}

TEST_P(LanguageWaits, EndInTheTargetsTime) {
  const auto all = languages();
  const auto language =
      std::find_if(all.begin(), all.end(), [](const Language& l) { return l.name == GetParam(); });
  const bool there = ::access(language->file.c_str(), R_OK) == 0;
  if (!there ||
      (language->command.argv[0][0] != '/' && !find_executable(language->command.argv[0]))) {
    GTEST_SKIP() << language->name << " is not here";
  }
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

INSTANTIATE_TEST_SUITE_P(All, LanguageWaits, testing::Values("python", "java", "go"), string_name);

}  // namespace
}  // namespace time_chaos::live
