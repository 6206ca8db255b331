// The options that commands share, and how their texts become requests.
#pragma once

#include <CLI/CLI.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/request.h"

namespace time_chaos::cli {

struct OutputOptions {
  bool json = false;
  bool log = false;  // the same for a log: each with its time, and errors nowhere else
  bool verbose = false;
};
void add_output(CLI::App& app, OutputOptions& output);

// --pid, --name, --container and so on. Numbers are checked by parse(), so that errors are ours.
struct TargetOptions {
  std::vector<std::string> pids;
  std::vector<std::string> names;
  std::vector<std::string> cgroups;
  std::vector<std::string> containers;
  std::vector<std::string> pods;
  bool all_but_me = false;
  std::vector<std::string> experiments;
  bool all = false;
  [[nodiscard]] Result<experiment::Selection> parse() const;
};
void add_targets(CLI::App& app, TargetOptions& targets);

// --engine-vdso, --module, --engine-syscalls, --force, --patch, --no-children.
struct EngineOptions {
  std::string vdso = "detour";
  std::vector<std::string> modules;
  std::string syscalls = "auto";
  std::string patch = "auto";
  bool force = false;
  bool no_children = false;
  Status apply(experiment::ShiftRequest& request) const;
};
void add_engines(CLI::App& app, EngineOptions& engines);

// An error of that option's value, naming the option.
Error option_error(const Error& error, const char* option);

// A duration that must be longer than nothing; not given: none.
Result<std::optional<std::chrono::nanoseconds>> parse_span(const std::optional<std::string>& text,
                                                           const char* option);

}  // namespace time_chaos::cli
