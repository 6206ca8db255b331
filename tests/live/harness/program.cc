// Running the binary and reading its lines of JSON (see program.h).
#include "tests/live/harness/program.h"

#include <fmt/format.h>

#include <cstdlib>
#include <sstream>

namespace time_chaos::live {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<std::string> command_line(const Arguments& arguments) {
  std::vector<std::string> argv{program_path()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return argv;
}

Result<Outcome> finish(Child& child, const std::string& seen, Clock::time_point started,
                       Milliseconds timeout) {
  Outcome outcome;
  TC_TRY(outcome.status, child.wait(timeout));
  outcome.took = std::chrono::duration_cast<Milliseconds>(Clock::now() - started);
  outcome.out = seen + child.unread_output();
  outcome.err = child.error_text();
  return outcome;
}

}  // namespace

Status try_pid_namespace() {
  for (const char* tool : {"unshare", "nsenter"}) {
    if (find_executable(tool)) continue;
    return fail(Exit::kUnsupported, fmt::format("{} (util-linux) is missing", tool));
  }
  TC_TRY(Child child,
         Child::spawn({{"unshare", "--pid", "--fork", "--mount-proc", "true"}, {}, false}));
  TC_TRY(const ExitStatus status, child.wait(Milliseconds{5000}));
  if (status == ExitStatus{}) return {};
  return fail(Exit::kUnsupported, "no pid namespaces here: " + child.error_text());
}

std::string program_path() {
  const char* given = std::getenv("TIME_CHAOS_BIN");
  return given != nullptr ? given : TIME_CHAOS_BIN;
}

std::vector<nlohmann::json> Outcome::events() const {
  std::vector<nlohmann::json> result;
  std::istringstream lines{out};
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json event = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (event.is_object()) result.push_back(std::move(event));
  }
  return result;
}

nlohmann::json Outcome::event(const std::string& name) const {
  for (nlohmann::json& one : events()) {
    if (one.value("event", "") == name) return one;
  }
  return nullptr;
}

std::string Outcome::text() const {
  return fmt::format("{} after {} ms\nstdout: {}\nstderr: {}", live::text(status), took.count(),
                     out, err);
}

Result<Outcome> run_program(const Arguments& arguments, const RunOptions& options) {
  const auto started = Clock::now();
  TC_TRY(Child child, Child::spawn({command_line(arguments), options.env, !options.input.empty()}));
  if (!options.input.empty()) TC_CHECK(child.write_line(options.input));
  child.close_input();
  return finish(child, "", started, options.timeout);
}

Result<Agent> Agent::start(const Arguments& arguments, const std::vector<std::string>& env) {
  TC_TRY(Child child, Child::spawn({command_line(arguments), env, false}));
  return Agent(std::move(child));
}

Result<Agent> Agent::start_through(const Arguments& through, const Arguments& arguments) {
  Arguments argv = through;
  const Arguments line = command_line(arguments);
  argv.insert(argv.end(), line.begin(), line.end());
  TC_TRY(Child child, Child::spawn({argv, {}, false}));
  return Agent(std::move(child));
}

Result<nlohmann::json> Agent::wait_event(const std::string& name, Milliseconds timeout) {
  const auto end = Clock::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<Milliseconds>(end - Clock::now());
    auto line = child_.read_line(std::max(left, Milliseconds{1}));
    if (!line) {
      return fail(
          line.error().because_of(fmt::format("no event \"{}\" (before: \"{}\")", name, seen_)));
    }
    seen_ += *line + "\n";
    nlohmann::json event = nlohmann::json::parse(*line, nullptr, /*allow_exceptions=*/false);
    if (event.is_object() && event.value("event", "") == name) return event;
  }
}

Result<Outcome> Agent::stop(int signal_number) {
  TC_CHECK(child_.signal(signal_number));
  return wait();
}

Result<Outcome> Agent::wait(Milliseconds timeout) {
  return finish(child_, seen_, Clock::now(), timeout);
}

Arguments agent_arguments(pid_t pid, const std::string& offset, const Arguments& more) {
  Arguments result{"agent", "--pid",  std::to_string(pid), "--offset",
                   offset,  "--json", "--engine-syscalls", "off"};
  result.insert(result.end(), more.begin(), more.end());
  return result;
}

Arguments traced_arguments(pid_t pid, const std::string& offset, const Arguments& more) {
  Arguments result{"agent", "--pid",  std::to_string(pid), "--offset",
                   offset,  "--json", "--engine-syscalls", "ptrace"};
  result.insert(result.end(), more.begin(), more.end());
  return result;
}

Arguments recover_arguments(pid_t pid) {
  return {"recover", "--pid", std::to_string(pid), "--json"};
}

}  // namespace time_chaos::live
