// Descendants of a target with the ptrace engine: their clocks are the target's as long as the
// agent lives, whoever of their parents has ended, and their own from then on.
#include <csignal>
#include <thread>

#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

struct Heirs {
  Child family;
  pid_t child = 0;
  pid_t execed = 0;
};

// The pid in the first line of that role.
Result<pid_t> pid_of(Child& family, const std::string& role) {
  for (int i = 0; i < 1000; ++i) {
    TC_TRY(const Reading reading, next_reading(family, 0));
    if (reading.line().starts_with(role + " ")) return pid_in(reading.line());
  }
  return fail(Exit::kFailed, "no line of " + role);
}

Result<Heirs> start_heirs() {
  TC_TRY(Child family, start_target("heirs", {}, /*with_input=*/true));
  TC_TRY([[maybe_unused]] const Reading first, next_reading(family, 0));
  return Heirs{std::move(family), 0, 0};
}

Result<HeldShift> shift_heirs(Heirs& heirs, bool traced) {
  TC_TRY(HeldShift held,
         traced ? trace_held(heirs.family.pid(), "1h") : shift_held(heirs.family.pid(), "1h"));
  TC_CHECK(heirs.family.write_line("start"));
  TC_TRY(heirs.child, pid_of(heirs.family, "child"));
  TC_TRY(heirs.execed, pid_of(heirs.family, "execed"));
  return held;
}

Status check(Heirs& heirs, const std::string& role, Nanoseconds expected, bool raw = true) {
  return check_shift(heirs.family, {.expected = expected,
                                    .since = host_mono_ns(),
                                    .unshifted = raw ? std::vector<std::string>{}
                                                     : std::vector<std::string>{"raw"},
                                    .only_label = role + " "});
}

Result<nlohmann::json> status_of_all() {
  TC_TRY(const Outcome outcome, run_program({"status", "--json"}));
  return nlohmann::json::parse(outcome.out);
}

// What status says of a process; null if it says nothing.
nlohmann::json entry(const nlohmann::json& status, pid_t pid) {
  for (const auto& target : member(status, "targets")) {
    if (member(target, "pid") == pid) return target;
  }
  return {};
}

pid_t tracer_of(pid_t pid) {
  const auto now = Snapshot::take(pid);
  return now ? now->tracer : -1;
}

TEST(Children, WhoseParentHasEndedStayShiftedUntilTheAgentEnds) {
  ASSERT_VALUE(Heirs heirs, start_heirs());
  ASSERT_VALUE(HeldShift held, shift_heirs(heirs, true));
  ASSERT_STATUS(heirs.family.write_line("end"));
  ASSERT_VALUE(const auto gone, held.agent.wait_event("gone"));
  EXPECT_STATUS(check(heirs, "child", hours{1}));
  EXPECT_STATUS(check(heirs, "execed", hours{1}));
  ASSERT_VALUE(const auto set, set_offset(heirs.child, "2h"));
  EXPECT_STATUS(check(heirs, "child", hours{2}));
  EXPECT_STATUS(check(heirs, "execed", hours{2}));
  ASSERT_VALUE(const auto by_program, set_offset(heirs.execed, "3h"));  // that has no page itself
  EXPECT_STATUS(check(heirs, "child", hours{3}));
  EXPECT_STATUS(check(heirs, "execed", hours{3}));
  ASSERT_VALUE(const Outcome outcome, held.agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_EQ(member(outcome.event("recovered"), "pid"), heirs.child) << outcome.text();
  EXPECT_EQ(member(outcome.event("released"), "pid"), heirs.execed) << outcome.text();
  EXPECT_STATUS(check(heirs, "child", hours{0}));
  EXPECT_STATUS(check(heirs, "execed", hours{0}));
  EXPECT_EQ(tracer_of(heirs.child), 0);
  EXPECT_EQ(tracer_of(heirs.execed), 0);
  ASSERT_VALUE(const auto status, status_of_all());
  EXPECT_TRUE(entry(status, heirs.child).is_null() ||
              member(entry(status, heirs.child), "state") == "inert");
  EXPECT_TRUE(entry(status, heirs.execed).is_null());
}

TEST(Children, AProgramIsSetByItsTargetsPage) {
  ASSERT_VALUE(Heirs heirs, start_heirs());
  ASSERT_VALUE(HeldShift held, shift_heirs(heirs, true));
  ASSERT_VALUE(const auto set, set_offset(heirs.execed, "2h"));
  EXPECT_EQ(member(set, "pid"), heirs.family.pid()) << set;
  for (const char* role : {"parent", "child", "execed"}) {
    EXPECT_STATUS(check(heirs, role, hours{2}));
  }
  // With nobody left but the program, its page is its agent's.
  ASSERT_STATUS(heirs.family.write_line("end"));
  ASSERT_VALUE(const auto gone, held.agent.wait_event("gone"));
  ASSERT_EQ(::kill(heirs.child, SIGKILL), 0);
  for (int i = 0; i < 100 && tracer_of(heirs.child) > 0; ++i) {
    std::this_thread::sleep_for(Milliseconds{20});
  }
  ASSERT_VALUE(const auto by_agent, set_offset(heirs.execed, "3h"));
  EXPECT_EQ(member(by_agent, "pid"), heirs.execed) << by_agent;
  EXPECT_STATUS(check(heirs, "execed", hours{3}));
  const std::string experiment = member(by_agent, "experiment");
  ASSERT_PROGRAM(by_name, 0, {"set", "--experiment", experiment, "--offset", "4h", "--json"});
  EXPECT_EQ(member(by_name.event("set"), "pid"), heirs.execed) << by_name.text();
  EXPECT_STATUS(check(heirs, "execed", hours{4}));
  ASSERT_PROGRAM(released, 0, {"recover", "--experiment", experiment, "--json"});
  EXPECT_EQ(member(released.event("released"), "pid"), heirs.execed) << released.text();
}

// Without a tracer, too: forked children become targets of their own.
TEST(Children, WhoseParentHasEndedAreRecoveredWithoutATracer) {
  ASSERT_VALUE(Heirs heirs, start_heirs());
  ASSERT_VALUE(HeldShift held, shift_heirs(heirs, false));
  ASSERT_STATUS(heirs.family.write_line("end"));
  ASSERT_VALUE(const auto gone, held.agent.wait_event("gone"));
  EXPECT_STATUS(check(heirs, "child", hours{1}, false));
  ASSERT_VALUE(const auto recovered, stop_agent(held.agent));
  EXPECT_EQ(member(recovered, "pid"), heirs.child);
  EXPECT_STATUS(check(heirs, "child", hours{0}));
}

TEST(Children, TheAgentEndsWithTheLastOfThem) {
  for (const bool traced : {true, false}) {
    ASSERT_VALUE(Heirs heirs, start_heirs());
    ASSERT_VALUE(HeldShift held, shift_heirs(heirs, traced));
    ASSERT_STATUS(heirs.family.write_line("end"));
    ASSERT_VALUE(const auto gone, held.agent.wait_event("gone"));
    ASSERT_EQ(::kill(heirs.execed, SIGKILL), 0);
    EXPECT_FALSE(held.agent.wait(Milliseconds{300}).has_value()) << "a child is left";
    ASSERT_EQ(::kill(heirs.child, SIGKILL), 0);
    ASSERT_VALUE(const Outcome outcome, held.agent.wait(Milliseconds{5000}));
    EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  }
}

TEST(Children, StatusShowsThemUnderTheirTarget) {
  ASSERT_VALUE(Heirs heirs, start_heirs());
  ASSERT_VALUE(HeldShift held, shift_heirs(heirs, true));
  const pid_t target = heirs.family.pid();
  ASSERT_VALUE(const auto status, status_of_all());
  EXPECT_TRUE(member(entry(status, target), "parent").is_null());
  EXPECT_EQ(member(entry(status, heirs.child), "parent"), target);
  EXPECT_EQ(member(entry(status, heirs.execed), "parent"), target);
  EXPECT_EQ(member(entry(status, heirs.child), "executed"), false);
  EXPECT_EQ(member(entry(status, heirs.execed), "executed"), true);
  for (const pid_t pid : {target, heirs.child, heirs.execed}) {
    const auto seen = entry(status, pid);
    EXPECT_EQ(member(member(seen, "engines"), "syscalls"), "ptrace") << seen;
    EXPECT_EQ(member(member(seen, "engines"), "vdso"), pid == heirs.execed ? "hidden" : "detour");
    EXPECT_EQ(member(seen, "offset_ns"), 3'600'000'000'000) << seen;
    EXPECT_EQ(member(seen, "state"), "shifted");
  }
  // The children alone, and the tree for people.
  ASSERT_PROGRAM(alone, 0, {"status", "--pid", std::to_string(heirs.execed)});
  EXPECT_TRUE(alone.out.starts_with(std::to_string(heirs.execed))) << alone.out;
  ASSERT_PROGRAM(text, 0, {"status", "--pid", std::to_string(target)});
  EXPECT_THAT(text.out, testing::HasSubstr("\n  " + std::to_string(heirs.execed) + " "));
  EXPECT_THAT(text.out, testing::HasSubstr("\n  " + std::to_string(heirs.child) + " "));
}

// By the pid of a program that carries nothing but its mark: its agent is asked to end.
TEST(Children, AProgramCanBeRecoveredByItself) {
  ASSERT_VALUE(Heirs heirs, start_heirs());
  ASSERT_VALUE(HeldShift held, shift_heirs(heirs, true));
  ASSERT_PROGRAM(outcome, 0, recover_arguments(heirs.execed));
  EXPECT_EQ(member(outcome.event("released"), "pid"), heirs.execed) << outcome.text();
  EXPECT_STATUS(check(heirs, "execed", hours{0}));
  ASSERT_VALUE(const Outcome agent, held.agent.wait(Milliseconds{5000}));
  EXPECT_EQ(agent.status, (ExitStatus{0, 0})) << agent.text();
  EXPECT_STATUS(check(heirs, "child", hours{0}));
  EXPECT_STATUS(check(heirs, "parent", hours{0}));
}

// `run` would pass the request to end on to its command.
TEST(Children, WhatRunServesIsNotEndedByRecover) {
  ASSERT_VALUE(Agent run, Agent::start({"run", "--offset", "1h", "--engine-syscalls", "ptrace",
                                        "--", target_path("spawner"), "fork", target_path("once"),
                                        "sleep", "3000", "exit", "7"}));
  ASSERT_VALUE(const std::string line, run.child().read_line(Milliseconds{5000}));
  ASSERT_VALUE(const auto status, status_of_all());
  int programs = 0;
  for (const auto& target : member(status, "targets")) {
    if (member(target, "agent") != run.child().pid()) continue;
    ++programs;
    ASSERT_PROGRAM(outcome, 1, recover_arguments(member(target, "pid").get<pid_t>()));
    EXPECT_TRUE(is_one_error_line(outcome.err) || !outcome.event("error").is_null());
  }
  EXPECT_EQ(programs, 2);
  ASSERT_VALUE(const Outcome outcome, run.wait());
  EXPECT_EQ(outcome.status, (ExitStatus{7, 0})) << outcome.text();
}

TEST(Children, AreLeftAloneWhenAskedTo) {
  ASSERT_VALUE(Heirs heirs, start_heirs());
  ASSERT_VALUE(HeldShift held, trace_held(heirs.family.pid(), "1h", {"--no-children"}));
  ASSERT_STATUS(heirs.family.write_line("start"));
  ASSERT_VALUE(heirs.child, pid_of(heirs.family, "child"));
  ASSERT_VALUE(heirs.execed, pid_of(heirs.family, "execed"));
  EXPECT_STATUS(check(heirs, "parent", hours{1}));
  EXPECT_STATUS(check(heirs, "child", hours{0}));
  EXPECT_STATUS(check(heirs, "execed", hours{0}));
  EXPECT_EQ(tracer_of(heirs.child), 0);
  EXPECT_EQ(tracer_of(heirs.execed), 0);
  ASSERT_VALUE(const auto set, set_offset(heirs.family.pid(), "2h"));
  EXPECT_STATUS(check(heirs, "parent", hours{2}));
  EXPECT_STATUS(check(heirs, "child", hours{0}));
  ASSERT_VALUE(const Outcome outcome, held.agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check(heirs, "parent", hours{0}));
  EXPECT_STATUS(check(heirs, "child", hours{0}));
}

// vfork: the child stands in its parent's memory, which must keep its clock.
TEST(Children, ThatShareMemoryDoNotTakeTheParentsClockAlong) {
  for (const char* way : {"vfork", "spawn", "fork"}) {
    SCOPED_TRACE(way);
    ASSERT_PROGRAM(outcome, 0,
                   {"run", "--offset", "1h", "--no-children", "--", target_path("spawner"), way,
                    target_path("once")});
    ASSERT_VALUE(const int count, check_lines(outcome.out, hours{0}));
    EXPECT_EQ(count, 1) << outcome.text();
  }
}

TEST(Children, LeavingThemAloneIsRefusedWhereItCannotBe) {
  ASSERT_VALUE(Child target, start_target("heirs", {}, true));
  ASSERT_VALUE(const Reading first, next_reading(target, 0));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(target.pid()));
  const std::string pid = std::to_string(target.pid());
  for (const Arguments& more :
       {Arguments{"--engine-syscalls", "off"}, Arguments{"--engine-syscalls", "bpf"},
        Arguments{"--detach"}, Arguments{"--clocks", "monotonic"}}) {
    Arguments arguments{"agent", "--pid", pid, "--offset", "1h", "--no-children"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ASSERT_PROGRAM(outcome, 2, arguments);
    EXPECT_TRUE(is_one_error_line(outcome.err));
  }
  EXPECT_TRUE(unchanged(before, target.pid()));
}

// `run` gives their own clock back to children that the command leaves in the background.
TEST(Children, ThatRunLeavesBehindAreRecovered) {
  for (const char* engine : {"ptrace", "off"}) {
    SCOPED_TRACE(engine);
    ASSERT_VALUE(Child run, Child::spawn({{program_path(), "run", "--offset", "1h",
                                           "--engine-syscalls", engine, "--", target_path("heirs")},
                                          {},
                                          true}));
    ASSERT_STATUS(run.write_line("start"));
    ASSERT_VALUE(const pid_t child, pid_of(run, "child"));
    ASSERT_STATUS(run.write_line("end"));
    for (int i = 0; i < 100 && run.running(); ++i) run.discard_output(), ::usleep(20'000);
    EXPECT_FALSE(run.running());
    EXPECT_STATUS(
        check_shift(run, {.since = host_mono_ns(), .unshifted = {}, .only_label = "child "}));
    EXPECT_EQ(tracer_of(child), 0);
  }
}

// A target that becomes another program all the time: its page is gone, its clock stays.
TEST(Children, ATargetThatExecutesItselfForEver) {
  ASSERT_VALUE(Child target, start_target("execer", {"20000"}));
  ASSERT_VALUE(const Reading first, next_reading(target, 0));
  std::optional<HeldShift> held;  // an attach can meet the exec, and is refused then
  for (int i = 0; i < 20 && !held; ++i) {
    auto attempt = trace_held(target.pid(), "1h");
    if (attempt) held.emplace(std::move(*attempt));
  }
  ASSERT_TRUE(held.has_value());
  EXPECT_STATUS(check_shift(
      target, {.expected = hours{1}, .since = host_mono_ns(), .count = 30, .unshifted = {}}));
  ASSERT_VALUE(const Outcome outcome, held->agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  EXPECT_STATUS(check_shift(target, {.since = host_mono_ns(), .count = 10, .unshifted = {}}));
}

}  // namespace
}  // namespace time_chaos::live
