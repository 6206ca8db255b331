// time-chaos recover: undo, whoever made it, also after a crash.
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "agent/experiment/bpf_place.h"
#include "agent/experiment/family.h"
#include "agent/experiment/report.h"
#include "agent/experiment/undo.h"

namespace time_chaos::cli {
namespace {

struct RecoverOptions {
  TargetOptions targets;
  OutputOptions output;
  bool force = false;
};

int run(const RecoverOptions& options) {
  const auto selection = options.targets.parse();
  if (!selection) return report(selection.error(), options.output);
  if (selection->empty()) {
    return report(Error(Exit::kUsage, "no target given",
                        "use --pid N, --name COMM, --cgroup PATH, --experiment NAME or --all"),
                  options.output);
  }
  auto carriers = experiment::select_carriers(*selection);
  if (!carriers) return report(carriers.error(), options.output);
  const auto nodes = experiment::select_tree(*selection);
  if (!nodes) return report(nodes.error(), options.output);
  if (carriers->empty() && nodes->empty() && !options.output.json) {
    say(std::string("nothing to recover"));
  }
  Tally tally;
  std::set<pid_t> done;
  for (auto& carrier : *carriers) {
    if (done.count(carrier.process.pid()) != 0) continue;
    for (const auto& member : experiment::family(std::move(carrier))) {
      if (!done.insert(member.process.pid()).second) continue;
      const auto recovered = experiment::recover_carrier(member, options.force);
      if (!recovered) {
        if (!member.process.alive()) continue;  // it ended meanwhile: nothing is left to undo
        (void)report(recovered.error(), options.output);
        tally.bad(recovered.error());
        continue;
      }
      tally.good();
      options.output.json ? say(experiment::json(*recovered), options.output)
                          : say(experiment::text(*recovered, options.output.verbose));
    }
  }
  for (const auto& node : *nodes) {
    if (!node.executed) continue;
    if (const Status status = experiment::let_go(node); !status) {
      if (!node.process().alive()) continue;
      (void)report(status.error(), options.output);
      tally.bad(status.error());
      continue;
    }
    tally.good();
    const pid_t pid = node.process().pid();
    const std::string& name = node.process().name();
    options.output.json ? say(experiment::released_json(pid, name), options.output)
                        : say(experiment::released_text(pid, name));
  }
  // What outlived its last target costs every process of the machine something.
  if (selection->all) experiment::end_unused(experiment::running_engines());
  return tally.exit_code();
}

}  // namespace

void add_recover(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<RecoverOptions>();
  CLI::App* app = program.add_subcommand("recover", "Undo experiments, also of agents that died");
  add_targets(*app, options->targets);
  app->add_flag("--all", options->targets.all, "Everything that carries an experiment");
  app->add_flag("--force", options->force, "Suspend a seccomp filter that forbids our calls");
  add_output(*app, options->output);
  app->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace time_chaos::cli
