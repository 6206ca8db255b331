// See actions.h.
#include "tests/live/harness/actions.h"

#include <fmt/format.h>

namespace time_chaos::live {
namespace {

Result<nlohmann::json> event_of(const Arguments& arguments, const std::string& name) {
  TC_TRY(const Outcome outcome, run_program(arguments));
  nlohmann::json event = outcome.event(name);
  if (outcome.status != ExitStatus{0, 0} || event.is_null()) {
    return fail(Exit::kFailed, fmt::format("time-chaos {}: no success with event \"{}\": {}",
                                           arguments.at(0), name, outcome.text()));
  }
  return event;
}

}  // namespace

Result<HeldShift> shift_held(pid_t pid, const std::string& offset, const Arguments& more) {
  TC_TRY(Agent agent, Agent::start(agent_arguments(pid, offset, more)));
  TC_TRY(nlohmann::json shifted, agent.wait_event("shifted"));
  return HeldShift{std::move(agent), std::move(shifted), host_mono_ns()};
}

Result<HeldShift> trace_held(pid_t pid, const std::string& offset, const Arguments& more) {
  TC_TRY(Agent agent, Agent::start(traced_arguments(pid, offset, more)));
  TC_TRY(nlohmann::json shifted, agent.wait_event("shifted"));
  TC_TRY([[maybe_unused]] const auto following, agent.wait_event("following"));
  return HeldShift{std::move(agent), std::move(shifted), host_mono_ns()};
}

Result<nlohmann::json> shift_detached(pid_t pid, const std::string& offset, const Arguments& more) {
  Arguments arguments = agent_arguments(pid, offset, more);
  arguments.emplace_back("--detach");
  return event_of(arguments, "shifted");
}

Result<nlohmann::json> set_offset(pid_t pid, const std::string& offset, const Arguments& more) {
  Arguments arguments{"set", "--pid", std::to_string(pid), "--offset", offset, "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return event_of(arguments, "set");
}

Result<nlohmann::json> recover_target(pid_t pid) {
  return event_of(recover_arguments(pid), "recovered");
}

Result<nlohmann::json> stop_agent(Agent& agent) {
  TC_TRY(const Outcome outcome, agent.stop());
  nlohmann::json event = outcome.event("recovered");
  if (outcome.status != ExitStatus{0, 0} || event.is_null()) {
    return fail(Exit::kFailed, "the stopped agent did not recover: " + outcome.text());
  }
  return event;
}

Status recover_whatever(pid_t pid) {
  TC_TRY(const Outcome outcome, run_program(recover_arguments(pid)));
  if (outcome.status == ExitStatus{0, 0}) return {};
  if (outcome.status == ExitStatus{static_cast<int>(Exit::kNoTarget), 0}) return {};
  return fail(Exit::kFailed, "recover failed: " + outcome.text());
}

nlohmann::json member(const nlohmann::json& object, const std::string& name) {
  return object.is_object() && object.contains(name) ? object[name] : nlohmann::json(nullptr);
}

bool code_was_kept(const nlohmann::json& recovered) {
  return recovered.value("mappings", "") == "kept";
}

}  // namespace time_chaos::live
