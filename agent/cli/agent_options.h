// The options of `time-chaos agent`, and how they become its request.
#pragma once

#include <optional>
#include <string>

#include "agent/cli/clock_options.h"
#include "agent/cli/given.h"
#include "agent/cli/options.h"

namespace time_chaos::cli {

struct AgentOptions {
  TargetOptions targets;
  ClockOptions clocks;
  EngineOptions engines;
  OutputOptions output;
  std::optional<std::string> duration;
  std::optional<std::string> lease;
  std::optional<std::string> wait;
  std::string mode = "all";
  std::optional<std::string> value;
  std::vector<std::string> listen;
  std::optional<std::string> fake;
  bool detach = false;
  bool dry_run = false;
  bool plot = false;

  [[nodiscard]] Result<experiment::ShiftRequest> request(const Given& given) const;

 private:
  [[nodiscard]] Status check_fake() const;
  Status apply_fake(experiment::ShiftRequest& request) const;
};
void add_agent_options(CLI::App& app, AgentOptions& options);

}  // namespace time_chaos::cli
