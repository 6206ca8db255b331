// time-chaos set: changes a running experiment without stopping the target.
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/cli/clock_options.h"
#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "agent/experiment/change.h"
#include "agent/experiment/reach.h"
#include "agent/experiment/report.h"

namespace time_chaos::cli {
namespace {

struct SetOptions {
  TargetOptions targets;
  ClockOptions clocks;
  OutputOptions output;
};

Result<std::vector<experiment::Carrier>> find(const SetOptions& options) {
  TC_TRY(const auto selection, options.targets.parse());
  if (selection.empty()) {
    return fail(Exit::kUsage, "no target given",
                "use --pid N, --name COMM, --cgroup PATH or --experiment NAME");
  }
  TC_TRY(auto carriers, experiment::select_pages(selection));
  if (carriers.empty()) {
    return fail(Exit::kNoTarget, "cannot set: no experiment runs there",
                "start one with time-chaos agent");
  }
  return carriers;
}

int run(const SetOptions& options) {
  const auto spec = options.clocks.parse();
  if (!spec) return report(spec.error(), options.output);
  const auto carriers = find(options);
  if (!carriers) return report(carriers.error(), options.output);
  Tally tally;
  clock::ClockSpec wanted = *spec;
  if (!options.clocks.clocks) wanted.clocks = clock::ClockSet();
  wanted.start = clock::read_host_clocks();  // one instant for all of them
  for (const auto& carrier : *carriers) {
    const auto changed = experiment::change(carrier, wanted);
    if (!changed) {
      (void)report(changed.error(), options.output);
      tally.bad(changed.error());
      continue;
    }
    tally.good();
    options.output.json ? say(experiment::json(*changed), options.output)
                        : say(experiment::text(*changed));
  }
  return tally.exit_code();
}

}  // namespace

void add_set(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<SetOptions>();
  CLI::App* app = program.add_subcommand("set", "Change a running experiment, without a stop");
  add_targets(*app, options->targets);
  add_clocks(*app, options->clocks);
  add_output(*app, options->output);
  app->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace time_chaos::cli
