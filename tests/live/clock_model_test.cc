// Dates, rates, freezes, strobes and schedules in real processes: what they read, what is refused,
// what status says of it.
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int64_t kNewYear2030 = 1'893'456'000'000'000'000;

// {"agent", "--pid", ..., "--detach", ...}: the vDSO engine alone.
Arguments detached(pid_t pid, const Arguments& clocks) {
  Arguments arguments{
      "agent", "--pid", std::to_string(pid), "--json", "--detach", "--engine-syscalls", "off"};
  arguments.insert(arguments.end(), clocks.begin(), clocks.end());
  return arguments;
}

Arguments set(pid_t pid, const Arguments& clocks) {
  Arguments arguments{"set", "--pid", std::to_string(pid), "--json"};
  arguments.insert(arguments.end(), clocks.begin(), clocks.end());
  return arguments;
}

Result<json> status_of(pid_t pid) {
  TC_TRY(const Outcome outcome, run_program({"status", "--pid", std::to_string(pid), "--json"}));
  const json document = json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
  const json targets = member(document, "targets");
  if (targets.size() != 1) return fail(Exit::kFailed, "no such target: " + outcome.text());
  return targets[0];
}

// A file that is gone when the test is over.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(testing::TempDir() + "clock_model_" + std::to_string(::getpid()) + ".json") {
    std::ofstream(path_) << text;
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  TemporaryFile(TemporaryFile&&) = delete;
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class ClockModel : public ::testing::Test {
 protected:
  void SetUp() override {
    auto child = start_clock_target(clock_target("glibc"));
    ASSERT_TRUE(child) << child.error().line();
    child_.emplace(std::move(*child));
  }
  Child& child() { return *child_; }
  [[nodiscard]] pid_t pid() const { return child_->pid(); }
  // What a fresh line says of that field; judged by its own (unshifted) raw reading.
  Result<Reading> fresh() { return next_reading(*child_, host_mono_ns()); }

 private:
  std::optional<Child> child_;
};

TEST_F(ClockModel, AFrozenDateStandsStillForAllFunctions) {
  ASSERT_PROGRAM(shifted, 0, detached(pid(), {"--at", "2030-01-01T00:00:00Z", "--freeze"}));
  for (int i = 0; i < 3; i++) {
    ASSERT_VALUE(const Reading reading, fresh());
    for (const char* field : {"rt", "gtod", "time", "coarse"}) {
      EXPECT_EQ(reading.ns(field), kNewYear2030) << field << ": " << reading.line();
    }
  }
  ASSERT_VALUE(const json status, status_of(pid()));
  EXPECT_EQ(member(status, "map")["kind"], "rate");
  EXPECT_EQ(member(status, "map")["rate"], 0.0);
  EXPECT_EQ(member(status, "map")["words"], "at 2030-01-01T00:00:00Z, frozen");
  EXPECT_EQ(member(status, "map")["shows"], "2030-01-01T00:00:00.000000000Z");
  ASSERT_PROGRAM(said, 0, {"status", "--pid", std::to_string(pid())});
  EXPECT_THAT(said.out, testing::HasSubstr("wall at 2030-01-01T00:00:00Z, frozen (now "));
  // It goes on from there.
  ASSERT_PROGRAM(running, 0, set(pid(), {"--rate", "1000"}));
  std::this_thread::sleep_for(milliseconds(20));
  ASSERT_VALUE(const Reading reading, fresh());
  EXPECT_GT(reading.ns("rt"), kNewYear2030 + 20'000'000'000);
  EXPECT_LT(reading.ns("rt"), kNewYear2030 + 100'000'000'000'000);
  ASSERT_VALUE(const json recovered, recover_target(pid()));
  ASSERT_VALUE(const Reading after, fresh());
  EXPECT_LE(std::chrono::abs(after.shift("rt")), kReadingTolerance);
}

TEST_F(ClockModel, AStrobeShowsBothAndNothingElse) {
  ASSERT_PROGRAM(shifted, 0, detached(pid(), {"--offset", "2h", "--strobe", "1h,150ms"}));
  int low = 0;
  int high = 0;
  for (int i = 0; i < 200 && (low < 3 || high < 3); i++) {
    ASSERT_VALUE(const Reading reading, fresh());
    const Nanoseconds shift = reading.shift("rt");
    const bool is_low = std::chrono::abs(shift - std::chrono::hours(2)) <= kReadingTolerance;
    const bool is_high = std::chrono::abs(shift - std::chrono::hours(3)) <= kReadingTolerance;
    ASSERT_TRUE(is_low || is_high) << reading.line();
    (is_low ? low : high)++;
  }
  EXPECT_GE(low, 3);
  EXPECT_GE(high, 3);
  ASSERT_VALUE(const json status, status_of(pid()));
  EXPECT_EQ(member(status, "map")["kind"], "schedule");
  EXPECT_EQ(member(status, "map")["words"], "+2h, strobe +1h every 150ms");
}

// More steps than a page holds: the agent brings the rest, and nobody else has to.
TEST_F(ClockModel, ALongScheduleIsFedByItsAgent) {
  std::string text = "[{\"at\": \"0s\"}";
  for (int i = 1; i <= 30; i++) {
    text += ",\n{\"at\": \"" + std::to_string(i * 150) + "ms\", \"step\": \"1m\"}";
  }
  const TemporaryFile file(text + "]");
  ASSERT_PROGRAM(detached_too, 5, detached(pid(), {"--schedule", file.path()}));
  EXPECT_THAT(detached_too.err, testing::HasSubstr("leave out --detach"));
  ASSERT_VALUE(Agent agent, Agent::start({"agent", "--pid", std::to_string(pid()), "--json",
                                          "--engine-syscalls", "off", "--schedule", file.path()}));
  ASSERT_VALUE(const json shifted, agent.wait_event("shifted"));
  EXPECT_EQ(shifted["map"], "schedule of 31 steps");
  const int64_t began = host_mono_ns();
  // Whenever it is looked at, as many steps have been made as there has been time for.
  for (int64_t at = 0; at < 5'000'000'000; at = host_mono_ns() - began) {
    ASSERT_VALUE(const Reading reading, fresh());
    const int64_t steps = std::chrono::round<seconds>(reading.shift("rt")).count() / 60;
    const int64_t behind = (host_mono_ns() - began + 100'000'000) / 150'000'000;
    EXPECT_LE(steps, std::min<int64_t>(behind + 1, 30));
    EXPECT_GE(steps, std::min<int64_t>(at / 150'000'000 - 1, 30));
  }
  ASSERT_VALUE(const Reading reading, fresh());
  EXPECT_LE(std::chrono::abs(reading.shift("rt") - std::chrono::minutes(30)), kReadingTolerance);
  ASSERT_VALUE(const json recovered, stop_agent(agent));
}

// What somebody sets meanwhile is not overwritten by an agent that means to go on with its own.
TEST_F(ClockModel, ASetEndsALongSchedule) {
  std::string text = "[{\"at\": \"0s\"}";
  for (int i = 1; i <= 30; i++) {
    text += ",\n{\"at\": \"" + std::to_string(i * 150) + "ms\", \"step\": \"1m\"}";
  }
  const TemporaryFile file(text + "]");
  ASSERT_VALUE(Agent agent, Agent::start({"agent", "--pid", std::to_string(pid()), "--json",
                                          "--engine-syscalls", "off", "--schedule", file.path()}));
  ASSERT_VALUE(const json shifted, agent.wait_event("shifted"));
  ASSERT_PROGRAM(strobing, 0, set(pid(), {"--offset", "5h", "--strobe", "1h,100ms"}));
  std::this_thread::sleep_for(milliseconds(2500));  // it would have been fed twice
  for (int i = 0; i < 10; i++) {
    ASSERT_VALUE(const Reading reading, fresh());
    EXPECT_GE(reading.shift("rt"), std::chrono::hours(5) - kReadingTolerance) << reading.line();
  }
  ASSERT_VALUE(const json recovered, stop_agent(agent));
}

// Eight threads look for a backward step in every reading, while the rate changes all the time.
TEST(MonotonicRates, NoThreadSeesABackwardStep) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"8"}));
  hot.allow({});
  const Arguments kClocks = {"--clocks", "monotonic-family"};
  const auto with = [&](Arguments arguments) {
    arguments.insert(arguments.end(), kClocks.begin(), kClocks.end());
    return arguments;
  };
  for (int i = 0; i < 4; i++) {
    ASSERT_PROGRAM(shifted, 0, detached(hot.pid(), with({"--rate", "3"})));
    ASSERT_STATUS(hot.progress(64));
    for (const Arguments& change : {Arguments{"--rate", "0.2"},
                                    {"--rate", "5", "--jitter", "40ms"},
                                    {"--freeze"},
                                    {"--drift", "-200ppm"},
                                    {"--leap-second", "smear"},
                                    {"--bump", "1s,2s"},
                                    {"--rate", "0.5"},
                                    {"--rate", "9"}}) {
      ASSERT_PROGRAM(changed, 0, set(hot.pid(), with(change)));
      // Beyond the corner, which is 50 ms ahead.
      std::this_thread::sleep_for(milliseconds(70));
      ASSERT_STATUS(hot.progress(64));
      ASSERT_STATUS(hot.healthy());
    }
    ASSERT_VALUE(const json recovered, recover_target(hot.pid()));
    EXPECT_THAT(member(recovered, "kept_clocks").dump(), testing::HasSubstr("monotonic"));
    std::this_thread::sleep_for(milliseconds(70));
    ASSERT_STATUS(hot.progress(64));
    ASSERT_STATUS(hot.healthy());
  }
}

// Refused in one line, with the right code, and nothing is changed.
TEST_F(ClockModel, RefusesWhatContradictsItselfOrTheRulesOfTime) {
  const TemporaryFile file("[\n{\"at\": \"1s\", \"rat\": 2}]");
  const struct {
    Arguments clocks;
    const char* says;
  } kRefused[] = {
      {{}, "no clock given"},
      {{"--offset", "1h", "--at", "@5"}, "--offset and --at contradict each other"},
      {{"--rate", "2", "--freeze"}, "--freeze and --rate contradict each other"},
      {{"--strobe", "1s,1s", "--leap-second", "smear"}, "contradict each other"},
      {{"--rate", "2", "--schedule", file.path()}, "--rate and --schedule contradict each other"},
      {{"--at", "1969-12-31T23:59:59Z"}, "before 1970"},
      {{"--at", "2263-01-01T00:00:00Z"}, "after 2262"},
      {{"--offset", "2500000h"}, "after 2262"},
      {{"--rate", "fast"}, "--rate: bad rate"},
      {{"--drift", "200"}, "--drift: bad drift"},
      {{"--strobe", "1s"}, "the period is missing"},
      {{"--strobe", "0s,1s"}, "strobes by nothing"},
      {{"--leap-second", "tomorrow"}, "use insert, delete or smear"},
      {{"--bump", "-5m"}, "the bound is not above 0"},
      {{"--bump", "5m,-5m"}, "above the second"},
      {{"--jitter", "0"}, "the amplitude is not between"},
      {{"--jitter", "5ms", "--seed", "x"}, "--seed: x is not a number"},
      {{"--schedule", file.path()}, ":2: there is no field \"rat\""},
      {{"--schedule", "/nowhere.json"}, "/nowhere.json"},
      {{"--strobe", "1s,1s", "--clocks", "monotonic"}, "never; leave monotonic out of --clocks"},
      {{"--rate", "-1", "--clocks", "boottime"}, "never run backwards"},
      {{"--at", "@1893456000", "--clocks", "all"}, "tells no date"},
      {{"--rate", "2", "--clocks", "all"}, "use --clocks wall,monotonic-family"},
  };
  for (const auto& refused : kRefused) {
    ASSERT_VALUE(const Outcome outcome, run_program(detached(pid(), refused.clocks)));
    EXPECT_TRUE(outcome.status.code == 2 || outcome.status.code == 4 || outcome.status.code == 1)
        << outcome.text();
    EXPECT_TRUE(is_one_error_line(outcome.err)) << outcome.text();
    EXPECT_THAT(outcome.err, testing::HasSubstr(refused.says));
  }
  ASSERT_PROGRAM(status, 0, {"status", "--pid", std::to_string(pid()), "--json"});
  EXPECT_THAT(status.out, testing::HasSubstr("\"targets\":[]"));
}

TEST(Preview, DrawsInTheTerminalAndAsSvg) {
  const std::string path = testing::TempDir() + "preview_" + std::to_string(::getpid()) + ".svg";
  ASSERT_PROGRAM(drawn, 0, {"preview", "--strobe", "200ms,1s", "--svg", path});
  EXPECT_THAT(drawn.out, testing::HasSubstr("realtime strobe +200ms every 1s: how far"));
  EXPECT_THAT(drawn.out, testing::HasSubstr("+200ms |"));
  EXPECT_THAT(drawn.out, testing::HasSubstr("after 6s"));
  std::ifstream file(path);
  const std::string svg{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove(path);
  EXPECT_EQ(svg.rfind("<svg ", 0), 0U);
  EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
  ASSERT_PROGRAM(objects, 0, {"preview", "--rate", "2", "--span", "10s", "--json"});
  const json plot = objects.event("preview");
  EXPECT_EQ(plot["map"], "realtime rate 2");
  EXPECT_EQ(plot["samples"][100]["after_ns"], 5'000'000'000);
  EXPECT_EQ(plot["samples"][100]["ahead_ns"], 5'000'000'000);
  ASSERT_PROGRAM(refused, 2, {"preview"});
  EXPECT_TRUE(is_one_error_line(refused.err));
  ASSERT_PROGRAM(unwritten, 1, {"preview", "--rate", "2", "--svg", "/nowhere/x.svg"});
  EXPECT_TRUE(is_one_error_line(unwritten.err));
}

TEST_F(ClockModel, ADryRunDrawsIt) {
  ASSERT_PROGRAM(drawn, 0,
                 {"agent", "--pid", std::to_string(pid()), "--drift", "200ppm", "--engine-syscalls",
                  "off", "--dry-run", "--plot"});
  EXPECT_THAT(drawn.out, testing::HasSubstr("would show wall drift +200ppm"));
  EXPECT_THAT(drawn.out, testing::HasSubstr("realtime drift +200ppm: how far it is ahead"));
  ASSERT_PROGRAM(refused, 2, {"agent", "--pid", std::to_string(pid()), "--rate", "2", "--plot"});
  EXPECT_TRUE(is_one_error_line(refused.err));
}

// From its first instruction: the command sees the date and nothing of the real one.
TEST(RunModel, StartsAtTheDate) {
  ASSERT_PROGRAM(ran, 0,
                 {"run", "--at", "2030-01-01T00:00:00Z", "--freeze", "--engine-syscalls", "off",
                  "--", target_path("once")});
  EXPECT_THAT(ran.out, testing::HasSubstr("1893456000.0")) << ran.text();
}

}  // namespace
}  // namespace time_chaos::live
