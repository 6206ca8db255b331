#include "agent/cli/config_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/cli/agent_options.h"
#include "agent/cli/commands.h"

namespace time_chaos::cli {

Result<std::unique_ptr<ConfigWatch>> ConfigWatch::open(const Given& given,
                                                       const ClockOptions& clocks) {
  TC_TRY(auto file, settings::WatchedFile::open(*given.config, given.config_text));
  return std::unique_ptr<ConfigWatch>(new ConfigWatch(std::move(file), given, clocks));
}

// As at the start, with the file's new text.
Result<ClockOptions> ConfigWatch::read_again(experiment::Control& control) {
  CLI::App program;
  Chosen chosen;
  Given given;
  add_commands(program, chosen, given);
  AgentOptions options;
  CLI::App agent;
  add_agent_options(agent, options);
  add_config(agent);
  try {
    parse(program, given_.line);
    TC_TRY(const Arguments whole, complete(program, given_.line, given, file_.text()));
    parse(agent, {whole.begin() + 1, whole.end()});
  } catch (const CLI::ParseError& error) {
    return fail(Exit::kUsage, error.what());
  }
  if (given.rest != rest_) {
    rest_ = given.rest;
    control.complain(Error(Exit::kUsage,
                           "something else than clocks has changed in " + file_.path(),
                           "that is heeded when the agent is started again"));
  }
  return options.clocks;
}

void ConfigWatch::attend(experiment::Control& control) {
  const auto changed = file_.changed();
  if (changed && !*changed) return;
  const auto clocks = changed ? read_again(control) : fail(changed.error());
  if (!clocks) return control.complain(clocks.error().because_of("the clocks stay as they are"));
  if (*clocks == clocks_) return;
  const auto spec = clocks->parse();
  if (!spec) {
    return control.complain(
        spec.error().because_of(file_.path()).because_of("the clocks stay as they are"));
  }
  clocks_ = *clocks;
  (void)control.set(*spec);
}

}  // namespace time_chaos::cli
