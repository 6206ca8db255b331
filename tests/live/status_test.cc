// `status` finds what agents made, living and dead, and says what it is; names select; `doctor`
// answers.
#include <csignal>
#include <filesystem>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using nlohmann::json;
using std::chrono::hours;

// The entry of `pid` in `status --json`; null when it has none.
Result<json> entry_of(pid_t pid, const Arguments& selection = {}) {
  Arguments arguments{"status", "--json"};
  arguments.insert(arguments.end(), selection.begin(), selection.end());
  TC_TRY(const Outcome outcome, run_program(arguments));
  const json document = json::parse(outcome.out, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object() || !document.contains("targets")) {
    return fail(Exit::kFailed, "no status document: " + outcome.text());
  }
  for (const json& target : member(document, "targets")) {
    if (target.value("pid", 0) == pid) return target;
  }
  return json(nullptr);
}

Arguments by_pid(pid_t pid) {
  return {"--pid", std::to_string(pid)};
}

TEST(Status, ShowsAnExperiment) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}, hours{-2}});
  const std::string name = "live-" + std::to_string(hot.pid());
  ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h", {"--experiment", name}));
  EXPECT_EQ(held.shifted.value("experiment", ""), name);
  for (const Arguments& selection : {Arguments{}, by_pid(hot.pid()), {"--experiment", name}}) {
    ASSERT_VALUE(const json entry, entry_of(hot.pid(), selection));
    ASSERT_FALSE(entry.is_null());
    EXPECT_EQ(entry.value("command", ""), "hot");
    EXPECT_EQ(entry.value("experiment", ""), name);
    EXPECT_EQ(entry.value("state", ""), "shifted");
    EXPECT_EQ(entry.value("offset_ns", int64_t{0}), Nanoseconds(hours{1}).count());
    EXPECT_EQ(entry.value("agent", 0), held.agent.child().pid());
    EXPECT_THAT(member(entry, "clocks").dump(), testing::HasSubstr("realtime"));
    EXPECT_FALSE(member(entry, "functions").empty());
    // Read now, not remembered.
    ASSERT_EQ(member(entry, "checked").size(), 1U) << entry.dump();
    const json checked = member(entry, "checked").front();
    EXPECT_THAT(checked.value("engine", ""), testing::StartsWith("vdso"));
    EXPECT_NEAR(static_cast<double>(checked.value("offset_ns", int64_t{0})),
                static_cast<double>(Nanoseconds(hours{1}).count()), 1e8);
    EXPECT_TRUE(member(entry, "why_not_checked").is_null());
  }
  ASSERT_PROGRAM(set, 0, {"set", "--experiment", name, "--offset", "-2h", "--json"});
  ASSERT_VALUE(const json changed, entry_of(hot.pid()));
  EXPECT_EQ(changed.value("offset_ns", int64_t{0}), Nanoseconds(hours{-2}).count());
  ASSERT_VALUE(const json recovered, stop_agent(held.agent));
  ASSERT_VALUE(const json after, entry_of(hot.pid()));
  if (code_was_kept(recovered)) {
    EXPECT_EQ(after.value("state", ""), "inert") << after.dump();
  } else {
    EXPECT_TRUE(after.is_null()) << after.dump();
  }
}

TEST(Status, SaysThatTheAgentIsDead) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(HeldShift held, shift_held(hot.pid(), "1h"));
  ASSERT_VALUE(const Outcome killed, held.agent.stop(SIGKILL));
  ASSERT_VALUE(const json entry, entry_of(hot.pid()));
  ASSERT_FALSE(entry.is_null());
  EXPECT_TRUE(member(entry, "agent").is_null()) << entry.dump();
  EXPECT_EQ(entry.value("state", ""), "shifted");
  ASSERT_VALUE(const json recovered, recover_target(hot.pid()));
  EXPECT_STATUS(hot.healthy());
}

TEST(Status, ForPeople) {
  ASSERT_VALUE(Torture hot, Torture::start("hot", {"2"}));
  hot.allow({Nanoseconds{0}, hours{1}});
  ASSERT_VALUE(const json shifted, shift_detached(hot.pid(), "1h"));
  for (const Arguments& more : {Arguments{}, Arguments{"-v"}}) {
    Arguments arguments{"status", "--pid", std::to_string(hot.pid())};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ASSERT_PROGRAM(outcome, 0, arguments);
    EXPECT_THAT(outcome.out, testing::HasSubstr(std::to_string(hot.pid())));
    EXPECT_THAT(outcome.out, testing::HasSubstr("+1h"));
  }
}

TEST(Status, AnUntouchedTargetHasNoEntry) {
  ASSERT_VALUE(const Torture hot, Torture::start("hot", {"1"}));
  ASSERT_VALUE(const json entry, entry_of(hot.pid()));
  EXPECT_TRUE(entry.is_null()) << entry.dump();
}

// Two processes of one name that nothing else on this machine has; both are found by it.
TEST(Names, SelectAllOfThatName) {
  const std::string name = "tcl" + std::to_string(::getpid());
  const std::filesystem::path link = std::filesystem::temp_directory_path() / name;
  std::filesystem::create_symlink(clock_target("glibc").argv.front(), link);
  ASSERT_VALUE(Child one, Child::spawn({{link.string()}, {}, false}));
  ASSERT_VALUE(Child two, Child::spawn({{link.string()}, {}, false}));
  ASSERT_STATUS(check_shift(one, {}));
  ASSERT_STATUS(check_shift(two, {}));
  std::filesystem::remove(link);
  ASSERT_PROGRAM(shifted, 0,
                 {"agent", "--name", name, "--offset", "1h", "--detach", "--json",
                  "--engine-syscalls", "off"});
  EXPECT_EQ(shifted.events().size(), 2U) << shifted.text();
  EXPECT_STATUS(check_shift(one, {.expected = hours{1}}));
  EXPECT_STATUS(check_shift(two, {.expected = hours{1}}));
  ASSERT_PROGRAM(recovered, 0, {"recover", "--name", name, "--json"});
  EXPECT_STATUS(check_shift(one, {}));
  EXPECT_STATUS(check_shift(two, {}));
}

TEST(Doctor, Answers) {
  ASSERT_VALUE(const Torture hot, Torture::start("hot", {"1"}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(hot.pid()));
  for (const Arguments& selection : {Arguments{}, by_pid(hot.pid())}) {
    Arguments arguments{"doctor", "--json"};
    arguments.insert(arguments.end(), selection.begin(), selection.end());
    ASSERT_VALUE(const Outcome outcome, run_program(arguments));
    EXPECT_EQ(outcome.status.signal, 0);
    EXPECT_TRUE(json::parse(outcome.out, nullptr, false).is_object()) << outcome.text();
    ASSERT_PROGRAM(text, outcome.status.code, Arguments{"doctor"});
    EXPECT_FALSE(text.out.empty());
  }
  EXPECT_TRUE(unchanged(before, hot.pid()));
}

}  // namespace
}  // namespace time_chaos::live
