// Files of options: what is read, and the one line in which the rest is refused.
#include "agent/settings/setting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace time_chaos::settings {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Settings, AsYaml) {
  const auto list = parse_settings(
      "# chaos\noffset: -1h30m\nat: 2030-01-01T00:00:00Z\ncontainer: [app, web]\nname:\n  - a\n"
      "freeze: true\nlease:\nrate: 010\n",
      "c.yaml");
  ASSERT_TRUE(list) << list.error().line();
  EXPECT_THAT(*list, ElementsAre(Setting{"offset", {"-1h30m"}, "c.yaml line 2"},
                                 Setting{"at", {"2030-01-01T00:00:00Z"}, "c.yaml line 3"},
                                 Setting{"container", {"app", "web"}, "c.yaml line 4"},
                                 Setting{"name", {"a"}, "c.yaml line 5"},
                                 Setting{"freeze", {"true"}, "c.yaml line 7"},
                                 Setting{"rate", {"010"}, "c.yaml line 9"}))
      << "as written: numbers, dates and durations are for the options to read";
}

TEST(Settings, AsJson) {
  const auto list = parse_settings(R"({"offset": "2h", "pid": [1, 2], "force": false})", "c.json");
  ASSERT_TRUE(list) << list.error().line();
  EXPECT_THAT(*list, ElementsAre(Setting{"offset", {"2h"}, "c.json line 1"},
                                 Setting{"pid", {"1", "2"}, "c.json line 1"},
                                 Setting{"force", {"false"}, "c.json line 1"}));
}

TEST(Settings, NothingIsNothing) {
  for (const char* text : {"", "\n", "# only a word\n", "---\n", "{}", "null"}) {
    const auto list = parse_settings(text, "c");
    ASSERT_TRUE(list) << text << list.error().line();
    EXPECT_THAT(*list, IsEmpty());
  }
}

TEST(Settings, OtherThingsAreRefusedWithTheirLine) {
  const std::pair<std::string, std::string> cases[] = {
      {"offset", "c line 1: the file is not a map"},
      {"- a\n- b\n", "c line 1: the file is not a map"},
      {"offset: 1h\noffset: 2h\n", "c line 2: offset is there twice"},
      {"offset: 1h\nclocks: {a: b}\n", "c line 2: clocks is neither a value nor a list"},
      {"name:\n  - a\n  - [b]\n", "c line 3: name is neither a value nor a list"},
      {"offset: 1h\n? [a]\n: b\n", "c line 2: a key of the file is no word"},
      {"a: 1\n\tb: 2\n", "c line 2"},
      {"a: 1\n---\nb: 2\n", "c has several documents"},
      {std::string(2 << 20, ' '), "c is larger than 1 MiB"},
      {std::string(100000, '['), "c line 1"},
      {std::string("a: \0\n", 5), ""},
  };
  for (const auto& [text, message] : cases) {
    const auto list = parse_settings(text, "c");
    if (list && message.empty()) continue;
    ASSERT_FALSE(list) << text.substr(0, 40);
    EXPECT_EQ(list.error().kind(), Exit::kUsage);
    EXPECT_THAT(list.error().line(), HasSubstr(message));
    EXPECT_EQ(list.error().line().find('\n'), std::string::npos);
  }
}

TEST(Settings, AFileThatIsNotThereIsNamed) {
  const auto text = read_settings_file("/no/such/file");
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind(), Exit::kUsage);
  EXPECT_THAT(text.error().line(), HasSubstr("/no/such/file"));
}

}  // namespace
}  // namespace time_chaos::settings
