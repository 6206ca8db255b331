// What is said of targets, in lines and in JSON: made from values by hand.
#include "agent/experiment/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "agent/experiment/owner.h"

namespace time_chaos::experiment {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

targets::Process self() {
  return targets::Process::open(::getpid()).value();
}
std::string self_pid() {
  return std::to_string(::getpid());
}

payload::PatchRecord patch(uint32_t function, uint32_t length) {
  payload::PatchRecord record;
  record.entry = 0x7f0000001000 + function * 0x100;
  record.function = function;
  record.length = length;
  return record;
}

Checked an_hour_ahead() {
  return {"vdso", {1893459600, 5}, {1893456000, 5}, 0, hours(1)};
}

Shifted shifted() {
  Shifted shifted;
  shifted.pid = 4242;
  shifted.command = "payments";
  shifted.threads = 8;
  shifted.experiment = "exp";
  shifted.clocks = clock::ClockSet::wall();
  shifted.offset = hours(1);
  shifted.words = "+1h";
  shifted.patches = {patch(0, 1), patch(1, 5)};
  shifted.stopped = microseconds(140);
  shifted.checked = {an_hour_ahead()};
  return shifted;
}

TEST(ShiftedText, SaysWhatWasDoneAndSeen) {
  EXPECT_EQ(text(shifted(), false),
            "4242 payments (8 threads): wall +1h, vdso detour, one thread stopped for 0.14 ms\n"
            "checked: reads 2030-01-01T01:00:00Z through vdso, host 2030-01-01T00:00:00Z");
}

TEST(ShiftedText, SaysMoreWhenAsked) {
  Shifted s = shifted();
  s.threads = 1;
  s.world_stopped = microseconds(300);
  s.until = clock::Reading{1893456600, 0};
  s.kept = clock::ClockSet(1U << 1);
  const std::string said = text(s, true);
  EXPECT_THAT(said, HasSubstr("(1 thread)"));
  EXPECT_THAT(said, HasSubstr("one thread stopped for 0.14 ms, all for 0.30 ms"));
  EXPECT_THAT(said, HasSubstr("experiment exp"));
  EXPECT_THAT(said, HasSubstr("clock_gettime one-byte at 0x7f0000001000"));
  EXPECT_THAT(said, HasSubstr("gettimeofday five-byte at 0x7f0000001100"));
  EXPECT_THAT(said, HasSubstr("ends by itself at 2030-01-01T00:10:00Z"));
  EXPECT_THAT(said, HasSubstr("monotonic stays ahead"));
}

TEST(ShiftedText, NamesTheEnginesAtWork) {
  Shifted s = shifted();
  s.raw_calls = RawCalls::kPtrace;
  EXPECT_THAT(text(s, false), HasSubstr("vdso detour + syscalls by ptrace"));
  s.patches.clear();
  EXPECT_THAT(text(s, false), Not(HasSubstr("vdso detour")));
  EXPECT_THAT(text(s, false), HasSubstr("syscalls by ptrace"));
}

TEST(ShiftedText, SaysThatAVdsoIsHiddenAndWhy) {
  Shifted s = shifted();
  s.patches.clear();
  s.raw_calls = RawCalls::kBpf;
  s.only_calls = s.hidden = true;
  s.no_detour = "ptrace is forbidden";
  EXPECT_THAT(text(s, false), StartsWith("4242 payments (8 threads): wall +1h, bpf (vDSO hidden), "
                                         "nothing of it stopped\n"));
  EXPECT_THAT(text(s, false), Not(HasSubstr("forbidden")));
  EXPECT_THAT(text(s, true), HasSubstr("no detour: ptrace is forbidden"));
}

TEST(HiddenTimeText, SaysWhatEscapesOnlyWhereSomethingDoes) {
  SyscallChoice choice;
  choice.engine = RawCalls::kBpf;
  choice.no_time = "too old";
  Shifted s = shifted();
  EXPECT_EQ(hidden_time_text(s, choice), "") << "detoured";
  s.hidden = true;
  s.no_detour = "ptrace is forbidden";
  EXPECT_EQ(hidden_time_text(s, choice),
            "payments can read the host's time by time(), which BPF cannot shift on this kernel: "
            "its vDSO is hidden, not detoured, because ptrace is forbidden");
  s.clocks = clock::ClockSet(1U << CLOCK_MONOTONIC);
  EXPECT_EQ(hidden_time_text(s, choice), "") << "it reads no clock of the experiment";
  s.clocks = clock::ClockSet::wall();
  choice.no_time.clear();
  EXPECT_EQ(hidden_time_text(s, choice), "") << "time() is shifted, too";
}

TEST(ShiftedText, SaysThroughWhatItWasChecked) {
  Shifted s = shifted();
  s.raw_calls = RawCalls::kBpf;
  s.checked.push_back(s.checked.front());
  s.checked.back().engine = "syscall";
  EXPECT_THAT(text(s, false), HasSubstr("wall +1h, vdso detour + bpf, one thread"));
  EXPECT_THAT(text(s, false), HasSubstr("through vdso and syscall, host"));
  s.patches.clear();
  s.only_calls = true;
  EXPECT_THAT(text(s, false), HasSubstr("wall +1h, bpf, nothing of it stopped"));
}

TEST(ChoiceText, SaysWhichAndWhyInOneLine) {
  SyscallChoice choice;
  choice.by_itself = true;
  choice.why = "lockdown refuses it";
  EXPECT_EQ(text(choice, false), "raw system calls are not shifted: lockdown refuses it");
  choice.engine = RawCalls::kPtrace;
  EXPECT_EQ(text(choice, false),
            "raw system calls by ptrace, which is slow: lockdown refuses it; --engine-syscalls off "
            "leaves them alone");
  choice.by_itself = false;
  EXPECT_EQ(text(choice, true), "");
  choice = {RawCalls::kBpf, "fexit", "loses nothing", {"a"}, "no", "", "", "", true};
  EXPECT_EQ(text(choice, false),
            "raw system calls by bpf, fexit (loses nothing); but raw time() calls are not shifted "
            "on this kernel");
  EXPECT_THAT(text(choice, true), EndsWith("\n  time(): no\n  refused: a"));
  EXPECT_EQ(json(choice)["engine"], "bpf");
  EXPECT_EQ(json(choice)["time"], false);
  EXPECT_EQ(json(choice)["why_no_time"], "no");
  EXPECT_EQ(json(choice)["guard"], true);
  choice.no_guard = "refused";
  EXPECT_THAT(text(choice, false), HasSubstr("can set the machine's clock"));
  EXPECT_THAT(text(choice, true), HasSubstr("\n  guard: refused"));
  EXPECT_EQ(json(choice)["why_no_guard"], "refused");
  EXPECT_EQ(json(choice)["waits"], true);
  EXPECT_EQ(json(choice)["left_of_waits"], true);
  choice.no_left = "not known";
  EXPECT_THAT(text(choice, false),
              HasSubstr("what is left of their waits may be told in real time"));
  EXPECT_THAT(text(choice, true), HasSubstr("\n  left of waits: not known"));
  EXPECT_EQ(json(choice)["waits"], true);
  EXPECT_EQ(json(choice)["left_of_waits"], false);
  EXPECT_EQ(json(choice)["why_no_left_of_waits"], "not known");
  choice.no_waits = "not here";
  EXPECT_THAT(text(choice, false), HasSubstr("their waits end in real time"));
  EXPECT_THAT(text(choice, true), HasSubstr("\n  waits: not here"));
  EXPECT_EQ(json(choice)["why_no_waits"], "not here");
}

TEST(ShiftedJson, HasTheSameFacts) {
  Shifted s = shifted();
  const Json object = json(s);
  EXPECT_EQ(object["event"], "shifted");
  EXPECT_EQ(object["pid"], 4242);
  EXPECT_EQ(object["command"], "payments");
  EXPECT_EQ(object["threads"], 8);
  EXPECT_EQ(object["experiment"], "exp");
  EXPECT_THAT(object["clocks"].get<std::vector<std::string>>(),
              ElementsAre("realtime", "realtime_coarse", "realtime_alarm", "tai"));
  EXPECT_EQ(object["offset"], "1h");
  EXPECT_EQ(object["offset_ns"], 3'600'000'000'000);
  EXPECT_EQ(object["engines"]["vdso"], "detour");
  EXPECT_EQ(object["engines"]["syscalls"], "off");
  EXPECT_EQ(object["functions"][0]["name"], "clock_gettime");
  EXPECT_EQ(object["functions"][0]["patch"], "one-byte");
  EXPECT_EQ(object["functions"][1]["entry"], "0x7f0000001100");
  EXPECT_DOUBLE_EQ(object["stopped_us"], 140.0);
  EXPECT_TRUE(object["world_stopped_us"].is_null());
  EXPECT_TRUE(object["until"].is_null());
  EXPECT_EQ(object["checked"][0]["target"], "2030-01-01T01:00:00.000000005Z");
  EXPECT_EQ(object["checked"][0]["offset_ns"], 3'600'000'000'000);
  s.world_stopped = microseconds(2);
  s.until = clock::Reading{0, 0};
  s.raw_calls = RawCalls::kPtrace;
  EXPECT_DOUBLE_EQ(json(s)["world_stopped_us"], 2.0);
  EXPECT_EQ(json(s)["until"], "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(json(s)["engines"]["syscalls"], "ptrace");
}

TEST(PlannedReport, TouchesNothingAndSaysWhatWouldBe) {
  PlannedTarget planned{self(), 2};
  planned.patches = {patch(0, 1)};
  const SyscallChoice choice;
  ShiftRequest request;
  request.clocks.offset = -hours(2);
  EXPECT_THAT(text(planned, request, choice, false), HasSubstr("(2 threads): would show wall -2h"));
  EXPECT_THAT(text(planned, request, choice, true), HasSubstr("clock_gettime one-byte"));
  const Json object = json(planned, request, choice);
  EXPECT_EQ(object["event"], "planned");
  EXPECT_EQ(object["pid"], ::getpid());
  EXPECT_EQ(object["offset_ns"], -7'200'000'000'000);
  EXPECT_EQ(object["stops_all_threads"], false);
}

TEST(RecoveredReport, SaysWhatIsAsBefore) {
  Recovered recovered;
  recovered.pid = 4242;
  recovered.command = "payments";
  recovered.report.bytes_restored = true;
  recovered.report.unmapped = true;
  recovered.report.stopped = microseconds(90);
  recovered.checked = Checked{"vdso", {0, 0}, {0, 0}, 0, {}};
  EXPECT_EQ(text(recovered, false),
            "recovered 4242 (payments): reads 1970-01-01T00:00:00Z through vdso, host "
            "1970-01-01T00:00:00Z, bytes as before");
  EXPECT_THAT(text(recovered, true), EndsWith("one thread stopped for 0.09 ms"));
  Json object = json(recovered);
  EXPECT_EQ(object["bytes"], "as before");
  EXPECT_EQ(object["mappings"], "unmapped");
  EXPECT_FALSE(object.contains("why_kept"));
  recovered.report.unmapped = false;
  recovered.report.still_mapped_because = "thread 7 is in it";
  EXPECT_THAT(text(recovered, false), EndsWith("inert code stays mapped (thread 7 is in it)"));
  EXPECT_EQ(json(recovered)["why_kept"], "thread 7 is in it");
}

TEST(RecoveredReport, SaysWhichClocksStayAhead) {
  Recovered recovered;
  recovered.pid = 1;
  recovered.command = "x";
  recovered.report.kept = clock::ClockSet((1U << 1) | (1U << 7));
  EXPECT_EQ(text(recovered, false),
            "recovered 1 (x); monotonic,boottime stays ahead until the process ends, because it "
            "must never step back");
  EXPECT_THAT(json(recovered)["kept_clocks"].get<std::vector<std::string>>(),
              ElementsAre("monotonic", "boottime"));
}

TEST(ChangedReport, SaysHowLongItTook) {
  Changed changed;
  changed.pid = 5;
  changed.command = "x";
  changed.clocks = clock::ClockSet::wall();
  changed.offset = hours(3);
  changed.words = "+3h";
  changed.took = std::chrono::nanoseconds(12'300);
  changed.checked = {an_hour_ahead()};
  EXPECT_THAT(text(changed),
              StartsWith("5 x: wall +3h, set in 12.3 us without a stop\nchecked: reads 2030"));
  EXPECT_EQ(json(changed)["event"], "set");
  EXPECT_DOUBLE_EQ(json(changed)["took_us"], 12.3);
}

class CarrierReport : public ::testing::Test {
 protected:
  CarrierReport() {
    carrier_.found.state = vdso::State::kShifted;
    carrier_.found.record.patch_count = 1;
    carrier_.found.record.patches[0] = patch(0, 1);
    page().clocks = clock::ClockSet::wall().bits();
    std::strcpy(page().experiment, "exp");
    put(std::nullopt);
  }
  tc_clock_page& page() { return carrier_.found.page; }
  void put(std::optional<std::chrono::nanoseconds> lease) {
    const auto maps = clock::plan_shift({clock::ClockSet::wall(), hours(1)}, clock::identity_maps(),
                                        clock::read_host_clocks(), lease)
                          ->maps;
    std::copy(maps.begin(), maps.end(), page().maps0);
  }
  Carrier carrier_{self(), {}, {}};
};

TEST_F(CarrierReport, OfARunningExperiment) {
  EXPECT_THAT(text(carrier_, false), StartsWith(self_pid() + " "));
  EXPECT_THAT(text(carrier_, false),
              EndsWith("wall +1h, vdso detour, experiment exp, detached, until it is recovered"));
  const Json object = json(carrier_);
  EXPECT_EQ(object["state"], "shifted");
  EXPECT_EQ(object["experiment"], "exp");
  EXPECT_EQ(object["offset_ns"], 3'600'000'000'000);
  EXPECT_TRUE(object["agent"].is_null());
  EXPECT_TRUE(object["until"].is_null());
}

TEST_F(CarrierReport, NamesTheAgentWhileItLives) {
  sign(page());
  EXPECT_THAT(text(carrier_, false), HasSubstr("agent " + self_pid()));
  EXPECT_EQ(json(carrier_)["agent"], ::getpid());
  page().owner_start++;
  EXPECT_THAT(text(carrier_, false), HasSubstr("its agent is gone"));
  EXPECT_TRUE(json(carrier_)["agent"].is_null());
}

TEST_F(CarrierReport, OfOneThatHasALease) {
  put(std::chrono::minutes(10));
  EXPECT_THAT(text(carrier_, false), HasSubstr("until 20"));
  EXPECT_EQ(json(carrier_)["state"], "shifted");
  EXPECT_TRUE(json(carrier_)["until"].is_string());
  put(std::chrono::nanoseconds(1));
  EXPECT_THAT(text(carrier_, false), HasSubstr("ended by itself at 20"));
  EXPECT_EQ(json(carrier_)["state"], "expired");
}

TEST_F(CarrierReport, OfWhatIsLeft) {
  carrier_.found.state = vdso::State::kInert;
  EXPECT_THAT(text(carrier_, false), HasSubstr("not shifted; inert code"));
  EXPECT_EQ(json(carrier_)["state"], "inert");
  carrier_.found.state = vdso::State::kRemnant;
  EXPECT_THAT(text(carrier_, false), HasSubstr("time-chaos recover removes them"));
  EXPECT_EQ(json(carrier_)["state"], "remnant");
  carrier_.found.state = vdso::State::kShifted;
  page().experiment[0] = '\0';
  page().clocks = 1U << 1;
  EXPECT_THAT(text(carrier_, false), HasSubstr("recovered; monotonic stays ahead"));
  EXPECT_EQ(json(carrier_)["state"], "kept");
}

TEST_F(CarrierReport, OfADescendant) {
  Node node{std::move(carrier_), std::nullopt, 2, 17};
  EXPECT_THAT(text(node, false), StartsWith("    " + self_pid() + " "));
  EXPECT_EQ(json(node)["parent"], 17);
  EXPECT_EQ(json(node)["executed"], false);
  EXPECT_EQ(json(node)["why_not_checked"], nullptr);
  node.verdict = Verdict{{{"vdso", {}, {}, 0, {}}, {"syscall", {}, {}, 0, {}}}, "", false};
  EXPECT_THAT(text(node, true), HasSubstr(", checked through vdso and syscall"));
  EXPECT_EQ(json(node)["checked"][1]["engine"], "syscall");
  node.verdict = Verdict{{}, "time reads 5", true};
  EXPECT_THAT(text(node, false), HasSubstr(", CHECK FAILED: time reads 5"));
  EXPECT_EQ(json(node)["why_not_checked"], "time reads 5");
  node.verdict = Verdict{{}, "only its agent sees it", false};
  EXPECT_THAT(text(node, false), HasSubstr(", not checked"));
  EXPECT_THAT(text(node, true), HasSubstr(", not checked (only its agent sees it)"));
  node.verdict.reset();
  node.executed = Execution{99, 17, true};
  node.depth = 0;
  EXPECT_THAT(text(node, false), EndsWith("executed: its vDSO is hidden"));
  EXPECT_THAT(text(node, false), HasSubstr("wall +1h"));
  EXPECT_EQ(json(node)["engines"]["vdso"], "hidden");
  EXPECT_EQ(json(node)["engines"]["syscalls"], "ptrace");
  node.executed->page_known = false;
  EXPECT_THAT(text(node, false), HasSubstr("syscalls by ptrace, agent 99"));
  EXPECT_TRUE(json(node)["offset_ns"].is_null());
  EXPECT_EQ(json(node)["agent"], 99);
}

TEST(CountersReport, SaysWhatHappenedAndNothingElse) {
  syscalls::Counters counters;
  counters.shifted = 3;
  EXPECT_EQ(text(7, counters), "7: 3 raw clock system calls were shifted, 0 could not be");
  counters.programs = 2;
  counters.failed_programs = 1;
  counters.refused = 4;
  counters.waits = 5;
  counters.failed_waits = 6;
  EXPECT_THAT(text(7, counters), HasSubstr("5 deadlines were mapped"));
  EXPECT_THAT(text(7, counters), HasSubstr("6 deadlines stayed real"));
  EXPECT_EQ(json(7, counters)["failed_deadlines"], 6);
  EXPECT_THAT(text(7, counters), HasSubstr("2 executed program(s)"));
  EXPECT_THAT(text(7, counters), HasSubstr("1 executed program(s) showed real time"));
  EXPECT_THAT(text(7, counters), HasSubstr("4 call(s) that would have set the machine's clock"));
  EXPECT_EQ(json(7, counters)["refused_calls"], 4);
  EXPECT_EQ(json(7, counters)["programs"], 2);
}

TEST(ErrorJson, HasMessageRemedyAndExit) {
  const Json object = json(Error(Exit::kNotPermitted, "no", "yes"));
  EXPECT_EQ(object["event"], "error");
  EXPECT_EQ(object["message"], "no");
  EXPECT_EQ(object["remedy"], "yes");
  EXPECT_EQ(object["exit"], 3);
}

}  // namespace
}  // namespace time_chaos::experiment
