// What the program says, as lines for people and as JSON objects for programs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "agent/base/error.h"
#include "agent/experiment/change.h"
#include "agent/experiment/shift.h"
#include "agent/experiment/tree.h"
#include "agent/experiment/undo.h"

namespace time_chaos::experiment {

using Json = nlohmann::json;

// Empty where there is nothing to say: the user has chosen himself.
std::string text(const SyscallChoice& choice, bool verbose);
std::string text(const PlannedTarget& planned, const ShiftRequest& request,
                 const SyscallChoice& choice, bool verbose);
std::string text(const Shifted& shifted, bool verbose);
std::string text(const Recovered& recovered, bool verbose);
std::string text(const Changed& changed);
std::string text(const Carrier& carrier, bool verbose);  // a line of status
std::string text(const Node& node, bool verbose);        // the same, with its place in the tree
// What the ptrace engine did for a target and its descendants.
std::string text(pid_t pid, const syscalls::Counters& counters);
std::string escaped_text(uint64_t programs);
// Of a command whose vDSO is hidden where BPF cannot shift time(2); else empty.
std::string hidden_time_text(const Shifted& shifted, const SyscallChoice& choice);

Json json(const SyscallChoice& choice);
Json json(const PlannedTarget& planned, const ShiftRequest& request, const SyscallChoice& choice);
Json json(const Shifted& shifted);
Json json(const Recovered& recovered);
Json json(const Changed& changed);
Json json(const Carrier& carrier);
Json json(const Node& node);
// A program that was executed is not followed any more.
std::string released_text(pid_t pid, const std::string& command);
Json released_json(pid_t pid, const std::string& command);
Json json(pid_t pid, const syscalls::Counters& counters);
Json json(const Error& error);

}  // namespace time_chaos::experiment
