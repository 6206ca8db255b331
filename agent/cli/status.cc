// time-chaos status: what is shifted, by how much, by which engine, until when.
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "agent/experiment/report.h"

namespace time_chaos::cli {
namespace {

struct StatusOptions {
  TargetOptions targets;
  OutputOptions output;
};

int run(const StatusOptions& options) {
  const auto selection = options.targets.parse();
  if (!selection) return report(selection.error(), options.output);
  auto nodes = experiment::select_tree(*selection);
  if (!nodes) return report(nodes.error(), options.output);
  experiment::check_all(*nodes);
  if (options.output.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& node : *nodes) list.push_back(experiment::json(node));
    say(nlohmann::json{{"targets", list}}, options.output);
    return 0;
  }
  if (nodes->empty()) say(std::string("nothing is shifted"));
  for (const auto& node : *nodes) say(experiment::text(node, options.output.verbose));
  const std::string ways = experiment::ways_text(*nodes);
  if (!ways.empty()) say(ways);
  return 0;
}

}  // namespace

void add_status(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<StatusOptions>();
  CLI::App* app = program.add_subcommand("status", "Say what is shifted, and until when");
  add_targets(*app, options->targets);
  add_output(*app, options->output);
  app->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace time_chaos::cli
