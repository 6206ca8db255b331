// From option texts to requests: what is taken, and the words in which the rest is refused.
#include "agent/cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/cli/clock_options.h"

namespace time_chaos::cli {
namespace {

using std::chrono::hours;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// As a command would: all groups on one app.
struct Parsed {
  OutputOptions output;
  TargetOptions targets;
  ClockOptions clocks;
  EngineOptions engines;
};
Parsed parse(const std::string& line) {
  Parsed parsed;
  CLI::App app;
  add_output(app, parsed.output);
  add_targets(app, parsed.targets);
  add_clocks(app, parsed.clocks);
  add_engines(app, parsed.engines);
  app.parse(line);
  return parsed;
}

TEST(Targets, AddUp) {
  const auto selection = parse("--pid 7 --name x --pid 8 --experiment e --name y").targets.parse();
  ASSERT_TRUE(selection) << selection.error().line();
  EXPECT_THAT(selection->pids, ElementsAre(7, 8));
  EXPECT_THAT(selection->names, ElementsAre("x", "y"));
  EXPECT_THAT(selection->experiments, ElementsAre("e"));
  EXPECT_FALSE(selection->all);
  EXPECT_TRUE(parse("").targets.parse()->empty());
}

TEST(Targets, ContainersByWholeNamesAndOtherwise) {
  const auto alone = parse("--container app --container name:web").targets.parse();
  ASSERT_TRUE(alone) << alone.error().line();
  EXPECT_THAT(alone->containers, ElementsAre(targets::ContainerQuery{"app", "", false},
                                             targets::ContainerQuery{"web", "", true}));
  const auto in_pods = parse("--container name:web --pod a --pod s/b").targets.parse();
  ASSERT_TRUE(in_pods) << in_pods.error().line();
  EXPECT_THAT(in_pods->containers, ElementsAre(targets::ContainerQuery{"web", "a", true},
                                               targets::ContainerQuery{"web", "s/b", true}));
  EXPECT_EQ(in_pods->containers[0].text(), "--pod a --container name:web");
  for (const char* nothing : {"", "name:"}) {
    TargetOptions options;
    options.containers = {nothing};
    EXPECT_EQ(options.parse().error().kind(), Exit::kUsage) << nothing;
  }
}

TEST(Targets, PidsAreNumbersAboveZero) {
  for (const char* pid : {"0", "-1", "x", "7x", "", " 7", "+7", "99999999999", "0x10", "1.5"}) {
    TargetOptions options;
    options.pids = {pid};
    const auto selection = options.parse();
    ASSERT_FALSE(selection) << pid;
    EXPECT_EQ(selection.error().kind(), Exit::kUsage);
    EXPECT_THAT(selection.error().line(), HasSubstr("--pid "));
  }
}

TEST(Targets, NamesAreNotEmpty) {
  TargetOptions options;
  options.names = {""};
  EXPECT_EQ(options.parse().error().kind(), Exit::kUsage);
}

TEST(Clocks, DefaultToTheWall) {
  const auto spec = parse("--offset=-1h").clocks.parse();
  ASSERT_TRUE(spec) << spec.error().line();
  EXPECT_EQ(spec->offset, -hours(1));
  EXPECT_EQ(spec->clocks, clock::ClockSet::wall());
}

TEST(Clocks, ANegativeOffsetMayStandApart) {
  const auto spec = parse("--offset -1h30m --clocks realtime,CLOCK_TAI").clocks.parse();
  ASSERT_TRUE(spec) << spec.error().line();
  EXPECT_EQ(spec->offset, -std::chrono::minutes(90));
  EXPECT_EQ(spec->clocks, clock::ClockSet((1U << 0) | (1U << 11)));
}

TEST(Clocks, ErrorsNameTheOption) {
  const auto none = parse("").clocks.parse();
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().kind(), Exit::kUsage);
  EXPECT_THAT(none.error().line(), HasSubstr("no clock given"));
  const auto offset = parse("--offset 1x").clocks.parse();
  ASSERT_FALSE(offset);
  EXPECT_EQ(offset.error().kind(), Exit::kUsage);
  EXPECT_THAT(offset.error().line(), HasSubstr("--offset: "));
  const auto clocks = parse("--offset 1h --clocks sundial").clocks.parse();
  ASSERT_FALSE(clocks);
  EXPECT_EQ(clocks.error().kind(), Exit::kUsage);
  EXPECT_THAT(clocks.error().line(), HasSubstr("--clocks: "));
  EXPECT_THAT(clocks.error().line(), HasSubstr("sundial"));
}

TEST(Clocks, StartRunAndChangeAsAsked) {
  const auto date = parse("--at 2030-01-01T00:00:00Z --freeze").clocks.parse();
  ASSERT_TRUE(date) << date.error().line();
  EXPECT_EQ(date->date, (clock::Reading{1'893'456'000, 0}));
  EXPECT_EQ(date->rate, 0);
  const auto drift = parse("--drift -50ppm --jitter 5ms,1s --seed 9").clocks.parse();
  ASSERT_TRUE(drift) << drift.error().line();
  EXPECT_LT(drift->rate, TC_RATE_ONE);
  EXPECT_EQ(drift->jitter->amplitude, std::chrono::milliseconds(5));
  EXPECT_EQ(drift->jitter->interval, std::chrono::seconds(1));
  EXPECT_EQ(drift->seed, 9U);
  const auto strobe = parse("--strobe -200ms,1s --allow-monotonic-step").clocks.parse();
  ASSERT_TRUE(strobe) << strobe.error().line();
  EXPECT_EQ(strobe->strobe->delta, -std::chrono::milliseconds(200));
  EXPECT_TRUE(strobe->allow_monotonic_step);
  const auto bump = parse("--bump 5m").clocks.parse();
  ASSERT_TRUE(bump) << bump.error().line();
  EXPECT_EQ(bump->bump->low, -std::chrono::minutes(5));
  EXPECT_EQ(bump->bump->high, std::chrono::minutes(5));
  const auto bounds = parse("--bump=-1s,2s").clocks.parse();
  ASSERT_TRUE(bounds) << bounds.error().line();
  EXPECT_EQ(bounds->bump->low, -std::chrono::seconds(1));
  EXPECT_EQ(parse("--leap-second smear").clocks.parse()->leap, clock::Leap::kSmear);
  EXPECT_EQ(parse("--rate 0.5").clocks.parse()->rate, TC_RATE_ONE / 2);
}

// A seed that is not given is drawn, and said, so that what happened can be repeated.
TEST(Clocks, DrawASeed) {
  const auto one = parse("--bump 5m").clocks.parse();
  const auto other = parse("--bump 5m").clocks.parse();
  ASSERT_TRUE(one && other);
  EXPECT_NE(one->seed, other->seed);
  EXPECT_THAT(clock::words(*one), HasSubstr("seed " + std::to_string(one->seed)));
}

TEST(Engines, DefaultToTheDetour) {
  experiment::ShiftRequest request;
  ASSERT_TRUE(parse("").engines.apply(request));
  EXPECT_EQ(request.detour, vdso::Detour::kAuto);
  EXPECT_EQ(request.syscalls, experiment::SyscallEngine::kAuto);
  EXPECT_FALSE(request.force);
}

TEST(Engines, AreTakenAsAsked) {
  experiment::ShiftRequest request;
  ASSERT_TRUE(parse("--engine-syscalls ptrace --engine-vdso off --force").engines.apply(request));
  EXPECT_EQ(request.detour, vdso::Detour::kNone);
  EXPECT_EQ(request.syscalls, experiment::SyscallEngine::kPtrace);
  EXPECT_TRUE(request.force);
  request = {};
  ASSERT_TRUE(parse("--engine-syscalls off --patch five-byte").engines.apply(request));
  EXPECT_EQ(request.detour, vdso::Detour::kFiveByte);
  EXPECT_EQ(request.syscalls, experiment::SyscallEngine::kOff);
  ASSERT_TRUE(parse("--engine-syscalls bpf --engine-vdso off").engines.apply(request));
  EXPECT_EQ(request.syscalls, experiment::SyscallEngine::kBpf);
}

TEST(Engines, PltLeavesRawSystemCallsAlone) {
  experiment::ShiftRequest request;
  ASSERT_TRUE(parse("--engine-vdso plt --module liba.so --module b").engines.apply(request));
  EXPECT_EQ(request.detour, vdso::Detour::kPlt);
  EXPECT_THAT(request.modules, testing::ElementsAre("liba.so", "b"));
  EXPECT_EQ(request.syscalls, experiment::SyscallEngine::kOff);
  request = {};
  ASSERT_TRUE(parse("--engine-vdso plt --engine-syscalls ptrace").engines.apply(request));
  EXPECT_EQ(request.syscalls, experiment::SyscallEngine::kPtrace);
}

TEST(Engines, RefuseWhatIsNotKnownAndNoEngineAtAll) {
  for (const char* line : {"--engine-vdso got", "--module libfoo.so", "--engine-syscalls magic",
                           "--patch three-byte", "--engine-vdso off --engine-syscalls off"}) {
    experiment::ShiftRequest request;
    const auto applied = parse(line).engines.apply(request);
    ASSERT_FALSE(applied) << line;
    EXPECT_EQ(applied.error().kind(), Exit::kUsage);
    EXPECT_NE(applied.error().remedy(), "");
  }
}

TEST(Output, IsForPeopleUnlessAsked) {
  EXPECT_FALSE(parse("").output.json);
  EXPECT_TRUE(parse("--json").output.json);
  EXPECT_TRUE(parse("-v").output.verbose);
}

TEST(ParseSpan, IsLongerThanNothing) {
  EXPECT_FALSE(parse_span(std::nullopt, "--lease")->has_value());
  EXPECT_EQ(parse_span("30s", "--lease")->value(), std::chrono::seconds(30));
  for (const char* span : {"0", "0s", "-1s", "", "x"}) {
    const auto parsed = parse_span(span, "--lease");
    ASSERT_FALSE(parsed) << span;
    EXPECT_EQ(parsed.error().kind(), Exit::kUsage);
    EXPECT_THAT(parsed.error().line(), HasSubstr("--lease"));
  }
}

}  // namespace
}  // namespace time_chaos::cli
