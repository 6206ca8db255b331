// The table of targets (see targets.h). What CMake could not build is a file that is not there.
#include "tests/live/harness/targets.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "tests/live/harness/readings.h"

namespace time_chaos::live {
namespace {

ClockTarget built(const std::string& name, const std::string& needs) {
  const std::string path = target_path("clocks_" + name);
  return {name, {path}, {path}, needs, Maps::kExact, {"raw"}};
}

ClockTarget script(const std::string& name, const std::string& interpreter,
                   const std::string& file) {
  const std::string path = std::string(LIVE_SOURCES) + "/targets/" + file;
  return {name, {interpreter, path}, {path}, interpreter, Maps::kNoOurs, {"raw"}};
}

// With few threads and a small heap, so that a test of Java is a test of its clocks.
ClockTarget java() {
  return {
      "java",
      {"java", "-Xmx64m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp", LIVE_TARGETS, "Clocks"},
      {target_path("Clocks.class")},
      "a Java compiler (default-jdk-headless)",
      Maps::kNoOurs,
      {"raw"}};
}

ClockTarget go() {
  ClockTarget target = built("go", "a Go compiler (golang-go)");
  target.maps = Maps::kNoOurs;
  return target;
}

std::vector<ClockTarget> make_table() {
  return {
      built("glibc", "gcc"),
      built("glibc_static", "gcc"),
      built("musl", "musl-gcc (musl-tools)"),
      built("musl_static", "musl-gcc (musl-tools)"),
      go(),
      built("rust", "a Rust compiler (rustc)"),
      java(),
      script("python", "python3", "clocks.py"),
      script("node", "node", "clocks.js"),
      script("perl", "perl", "clocks.pl"),
      built("m32", "gcc -m32 (gcc-multilib)"),
  };
}

}  // namespace

std::string target_path(const std::string& name) {
  return std::string(LIVE_TARGETS) + "/" + name;
}

std::optional<std::string> ClockTarget::missing() const {
  if (!find_executable(argv.front())) return fmt::format("{} is missing: needs {}", argv[0], needs);
  for (const std::string& file : files) {
    if (::access(file.c_str(), R_OK) != 0) {
      return fmt::format("{} was not built: needs {}", file, needs);
    }
  }
  return std::nullopt;
}

const std::vector<ClockTarget>& clock_targets() {
  static const std::vector<ClockTarget> kTable = make_table();
  return kTable;
}

const ClockTarget& clock_target(const std::string& name) {
  const auto& table = clock_targets();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const ClockTarget& t) { return t.name == name; });
  return found == table.end() ? table.front() : *found;
}

Result<Child> start_clock_target(const ClockTarget& target) {
  TC_TRY(Child child, Child::spawn({target.argv, {}, false}));
  TC_TRY([[maybe_unused]] const Reading first, next_reading(child, 0, Milliseconds{20000}));
  return child;
}

Result<Child> start_target(const std::string& name, const std::vector<std::string>& arguments,
                           bool with_input) {
  std::vector<std::string> argv{target_path(name)};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return Child::spawn({argv, {}, with_input});
}

}  // namespace time_chaos::live
