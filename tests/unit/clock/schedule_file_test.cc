#include "agent/clock/schedule_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace time_chaos::clock {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

Result<Schedule> parse(const std::string& text) {
  return parse_schedule(text, "f.json");
}

TEST(ScheduleFile, IsAListOfSteps) {
  const auto parsed = parse(R"([
    {"at": "0s", "offset": "-1h"},
    {"at": "10s", "rate": 2},
    {"at": "20s", "step": "5s", "drift": "200ppm"},
    {"at": "30s", "date": "2030-01-01T00:00:00Z", "freeze": true},
    {"at": "1m", "rate": "0.5"}
  ])");
  ASSERT_TRUE(parsed) << parsed.error().line();
  ASSERT_EQ(parsed->steps.size(), 5U);
  EXPECT_EQ(parsed->steps[0].offset, -std::chrono::hours(1));
  EXPECT_EQ(parsed->steps[0].rate, TC_RATE_ONE);
  EXPECT_EQ(parsed->steps[1].at, seconds(10));
  EXPECT_EQ(parsed->steps[1].rate, 2 * TC_RATE_ONE);
  EXPECT_EQ(parsed->steps[2].by, seconds(5));
  EXPECT_EQ(parsed->steps[3].date, (Reading{1'893'456'000, 0}));
  EXPECT_EQ(parsed->steps[3].rate, 0);
  EXPECT_EQ(parsed->steps[4].rate, TC_RATE_ONE / 2);
  EXPECT_FALSE(parsed->loop);
}

TEST(ScheduleFile, RepeatsForever) {
  const auto parsed = parse(R"([{"at": "5s", "offset": "1s"}, {"at": "10s", "offset": "0s"},
                                {"at": "15s", "repeat": "5s"}])");
  ASSERT_TRUE(parsed) << parsed.error().line();
  EXPECT_EQ(parsed->steps.size(), 2U);
  ASSERT_TRUE(parsed->loop);
  EXPECT_EQ(parsed->loop->from, seconds(5));
  EXPECT_EQ(parsed->loop->end, seconds(15));
}

TEST(ScheduleFile, RepeatsSoManyTimes) {
  const auto parsed = parse(R"([{"at": "0s", "rate": 2}, {"at": "4s", "step": "1s"},
                                {"at": "10s", "repeat": "2s", "times": 2},
                                {"at": "26s", "rate": 3}])");
  ASSERT_TRUE(parsed) << parsed.error().line();
  EXPECT_FALSE(parsed->loop);
  std::vector<std::pair<int64_t, int64_t>> seen;  // at (s), rate
  for (const Step& step : parsed->steps) {
    seen.emplace_back(step.at / seconds(1), step.rate / TC_RATE_ONE);
  }
  // What is repeated begins at 2 s, in the middle of what rate 2 began.
  EXPECT_THAT(seen,
              testing::ElementsAre(testing::Pair(0, 2), testing::Pair(4, 1), testing::Pair(10, 2),
                                   testing::Pair(12, 1), testing::Pair(18, 2), testing::Pair(20, 1),
                                   testing::Pair(26, 3)));
}

// Line and field, and what to do: for everything that a file can have wrong.
TEST(ScheduleFile, ErrorsNameLineAndField) {
  const struct {
    const char* text;
    const char* wanted;
  } kBad[] = {
      {"", "f.json:1: not JSON"},
      {"[", "f.json:1: not JSON"},
      {"[\n{\"at\": \"0s\",}\n]", "f.json:2: not JSON"},
      {"{}", "f.json:1: it is no list"},
      {"3", "f.json:1: it is no list"},
      {"[]", "f.json: the list is empty"},
      {"[\n1]", "f.json:2: an entry is no object"},
      {"[\n\n{\"at\": [1]}]", "f.json:3: a list means nothing here"},
      {"[{\"at\": {}}]", "f.json:1: an object means nothing here"},
      {"[{\"at\": null}]", "f.json:1: null means nothing here"},
      {"[{\"at\": \"0s\", \"at\": \"1s\"}]", "f.json:1: \"at\" is there twice"},
      {"[\n{\"offset\": \"1s\"}]", "f.json:2: there is no \"at\""},
      {"[\n{\"at\": 3}]", "f.json:2: \"at\": it is not a duration"},
      {"[\n{\"at\": \"3\"}]", "f.json:2: \"at\": bad duration \"3\": a unit is missing"},
      {"[{\"at\": \"-1s\"}]", "f.json:1: \"at\": it is before the start"},
      {"[{\"at\": \"2s\"},\n{\"at\": \"1s\"}]", "f.json:2: \"at\": 1s does not come after 2s"},
      {"[{\"at\": \"2s\"},\n{\"at\": \"2s\"}]", "f.json:2: \"at\": 2s does not come after 2s"},
      {"[{\"at\": \"0s\",\n\"ofset\": \"1s\"}]", "f.json:2: there is no field \"ofset\""},
      {"[{\"at\": \"0s\",\n\"offset\": \"1y\"}]", "f.json:2: \"offset\": bad duration"},
      {"[{\"at\": \"0s\", \"offset\": \"1s\",\n\"step\": \"1s\"}]",
       "f.json:2: \"step\": it does not go with \"offset\""},
      {"[{\"at\": \"0s\", \"rate\": 1,\n\"freeze\": true}]",
       "f.json:2: \"freeze\": it does not go with \"rate\""},
      {"[{\"at\": \"0s\", \"freeze\": false}]", "f.json:1: \"freeze\": it can only be true"},
      {"[{\"at\": \"0s\", \"rate\": true}]", "f.json:1: \"rate\": it is not a number"},
      {"[{\"at\": \"0s\", \"rate\": 1e20}]", "f.json:1: \"rate\": the rate"},
      {"[{\"at\": \"0s\", \"drift\": \"3\"}]", "f.json:1: \"drift\": bad drift"},
      {"[{\"at\": \"0s\", \"date\": \"soon\"}]", "f.json:1: \"date\": bad date"},
      {"[{\"at\": \"0s\", \"times\": 2}]", "f.json:1: \"times\": it is for entries"},
      {"[{\"at\": \"1s\", \"repeat\": \"1s\"}]", "f.json:1: \"repeat\": it is not between"},
      {"[{\"at\": \"1s\", \"repeat\": \"0s\", \"rate\": 1}]", "f.json:1: \"rate\": it does not go"},
      {"[{\"at\": \"1s\", \"repeat\": \"0s\"},\n{\"at\": \"2s\"}]",
       "f.json:2: an entry behind one that repeats forever"},
      {"[{\"at\": \"1s\", \"repeat\": \"0s\", \"times\": 1.5}]", "f.json:1: \"times\": it is no"},
      {"[{\"at\": \"1s\", \"repeat\": \"0s\", \"times\": 0}]", "f.json:1: \"times\": it is no"},
      {"[{\"at\": \"0s\"}, {\"at\": \"1s\"}, {\"at\": \"2s\", \"repeat\": \"0s\",\n"
       "\"times\": 99999}]",
       "f.json:2: \"times\": that makes more than 100000 steps"},
      {"[{\"at\": \"2000000h\", \"repeat\": \"0s\", \"times\": 9}]", "more than 292 years"},
  };
  for (const auto& bad : kBad) {
    const auto parsed = parse(bad.text);
    ASSERT_FALSE(parsed) << bad.text;
    EXPECT_EQ(parsed.error().kind(), Exit::kUsage) << bad.text;
    EXPECT_THAT(parsed.error().line(), HasSubstr(bad.wanted)) << bad.text;
    EXPECT_THAT(parsed.error().line(), testing::Not(HasSubstr("\n"))) << bad.text;
    EXPECT_NE(parsed.error().remedy(), "") << bad.text;
  }
}

TEST(ScheduleFile, IsReadFromAFile) {
  const std::string path = testing::TempDir() + "schedule_" + std::to_string(::getpid());
  std::ofstream(path) << "[{\"at\": \"0s\"}]";
  const auto read = read_schedule(path);
  std::remove(path.c_str());
  ASSERT_TRUE(read) << read.error().line();
  EXPECT_EQ(read->steps.size(), 1U);
  const auto missing = read_schedule(path);
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().line(), HasSubstr(path));
}

}  // namespace
}  // namespace time_chaos::clock
