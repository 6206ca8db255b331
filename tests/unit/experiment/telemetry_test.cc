// The numbers of an agent as Prometheus reads them.
#include "agent/experiment/telemetry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

namespace time_chaos::experiment {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

Telemetry example() {
  Telemetry t;
  t.experiment = "tc-1";
  t.in_force = true;
  t.targets = 2;
  t.attaches = 3;
  t.stopped = 4500us;
  t.longest_stop = 3ms;
  t.calls = {{"bpf", "realtime", 7, 1}, {"ptrace", "tai", 5, 0}};
  t.offsets = {{"realtime", -3600s}, {"tai", 1500ms}};
  return t;
}

TEST(Telemetry, AsMetrics) {
  const std::string text = prometheus(example());
  for (const char* line :
       {"time_chaos_experiment_info{experiment=\"tc-1\"} 1", "time_chaos_in_force 1",
        "time_chaos_targets 2", "time_chaos_offset_seconds{clock=\"realtime\"} -3600",
        "time_chaos_offset_seconds{clock=\"tai\"} 1.5",
        "time_chaos_shifted_calls_total{engine=\"bpf\",clock=\"realtime\"} 7",
        "time_chaos_refused_writes_total{engine=\"bpf\",clock=\"realtime\"} 1",
        "time_chaos_shifted_calls_total{engine=\"ptrace\",clock=\"tai\"} 5",
        "time_chaos_attach_stop_seconds_sum 0.0045", "time_chaos_attach_stop_seconds_count 3",
        "time_chaos_attach_stop_longest_seconds 0.003"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\n") + line + "\n"));
  }
}

// The format: HELP and TYPE before a metric's samples, each metric once, in one block.
TEST(Telemetry, IsWellFormed) {
  const std::regex sample(R"(([a-z_]+)(\{([a-z]+="[^"\\]*",?)*\})? -?[0-9.e+-]+)");
  std::istringstream lines(prometheus(example()));
  std::set<std::string> known;
  std::string current;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (line.starts_with("# HELP ")) {
      current = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(known.insert(current).second) << line;
    } else if (line.starts_with("# TYPE ")) {
      EXPECT_EQ(line.substr(7, line.find(' ', 7) - 7), current);
    } else {
      ASSERT_TRUE(std::regex_match(line, match, sample)) << line;
      EXPECT_TRUE(match[1].str().starts_with(current)) << line;
    }
  }
  EXPECT_GT(known.size(), 10U);
}

TEST(Telemetry, OfThisProcess) {
  Telemetry t;
  measure_self(t);
  EXPECT_GT(t.resident_bytes, 100000U);
  EXPECT_GT(t.processor_time.count(), 0);
}

}  // namespace
}  // namespace time_chaos::experiment
