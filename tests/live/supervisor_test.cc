// Nothing escapes: a supervisor with workers that execute all kinds of programs, more than a
// hundred processes in all, under the ptrace engine. Not one reading is unshifted, the first of a
// program included; none is shifted after recovery.
#include "tests/live/harness/support.h"

namespace time_chaos::live {
namespace {

using std::chrono::hours;

constexpr int kWorkers = 20;

// "date S.N": it does not tell the monotonic clock, so it is held against now, which is coarse, and
// enough for a shift of an hour.
Status check_date(const std::string& line, Nanoseconds expected) {
  const double seconds = std::stod(line.substr(line.find(' ') + 1));
  const double host = static_cast<double>(host_ns(CLOCK_REALTIME)) / 1e9;
  const double off = seconds - host - static_cast<double>(expected.count()) / 1e9;
  if (off > 1 || off < -120) return fail(Exit::kFailed, "an unshifted reading: " + line);
  return {};
}

struct Program {
  std::string command;
  int readings = 1;
};

std::vector<Program> programs() {
  std::vector<Program> list{
      {"date '+date %s.%N'"},
      // A pipeline of a shell: three processes.
      {"sh -c \"date +%s.%N | sed 's/^/date /' | cat\""},
  };
  for (const char* name : {"first", "first_m32", "once", "once_glibc_static", "once_musl_static",
                           "once_go_amd64", "once_m32"}) {
    if (::access(target_path(name).c_str(), X_OK) == 0) list.push_back({target_path(name)});
  }
  if (find_executable("/usr/bin/python3")) {
    list.push_back({"/usr/bin/python3 -c 'import time; print(\"date\", time.time())'"});
  }
  return list;
}

TEST(Supervisor, NothingEscapes) {
  Arguments arguments{std::to_string(kWorkers)};
  int wanted = 2;  // of each worker: its own
  for (const Program& program : programs()) {
    arguments.push_back(program.command);
    wanted += program.readings;
  }
  wanted *= kWorkers;
  ASSERT_VALUE(Child supervisor, start_target("supervisor", arguments, /*with_input=*/true));
  ASSERT_VALUE(const std::string ready, supervisor.read_line(Milliseconds{5000}));
  ASSERT_VALUE(const Snapshot before, Snapshot::take(supervisor.pid()));
  ASSERT_VALUE(HeldShift held, trace_held(supervisor.pid(), "1h"));
  ASSERT_STATUS(supervisor.write_line("go"));
  int seen = 0;
  for (;;) {
    ASSERT_VALUE(const std::string line, supervisor.read_line(Milliseconds{30000}));
    if (line == "done") break;
    ASSERT_FALSE(line.starts_with("failed")) << line;
    if (line.starts_with("date ")) {
      ASSERT_STATUS(check_date(line, hours{1}));
      ++seen;
      continue;
    }
    ASSERT_VALUE(const int readings, check_lines(line, hours{1}));
    seen += readings;
  }
  EXPECT_EQ(seen, wanted);
  for (const char* role : {"parent ", "worker ", "execed "}) {
    EXPECT_STATUS(check_shift(
        supervisor,
        {.expected = hours{1}, .since = host_mono_ns(), .unshifted = {}, .only_label = role}));
  }
  ASSERT_VALUE(const Outcome outcome, held.agent.stop());
  EXPECT_EQ(outcome.status, (ExitStatus{0, 0})) << outcome.text();
  const auto followed = outcome.event("followed");
  EXPECT_EQ(member(followed, "failed_calls"), 0) << followed;
  EXPECT_EQ(member(followed, "failed_programs"), 0) << followed;
  EXPECT_GE(member(followed, "programs"), 100) << followed;
  for (const char* role : {"parent ", "worker ", "execed "}) {
    EXPECT_STATUS(
        check_shift(supervisor, {.since = host_mono_ns(), .unshifted = {}, .only_label = role}));
  }
  EXPECT_TRUE(unchanged(before, supervisor.pid(),
                        code_was_kept(outcome.event("recovered")) ? Maps::kIgnored : Maps::kExact));
}

}  // namespace
}  // namespace time_chaos::live
