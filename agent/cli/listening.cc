#include "agent/cli/listening.h"

#include "agent/cli/clock_options.h"
#include "agent/cli/given.h"

namespace time_chaos::cli {
namespace {

// {"offset": "-1h"}, or the same as YAML: as in a file of --config, but clocks alone.
Result<clock::ClockSpec> read_clocks(const std::string& body) {
  TC_TRY(const settings::Settings list, settings::parse_settings(body, "the request"));
  CLI::App app;
  ClockOptions clocks;
  add_clocks(app, clocks);
  TC_TRY(const Arguments arguments, as_arguments(app, list));
  try {
    parse(app, arguments);
  } catch (const CLI::ParseError& error) {
    return fail(Exit::kUsage, error.what());
  }
  TC_TRY(clock::ClockSpec spec, clocks.parse());
  if (!clocks.clocks) spec.clocks = clock::ClockSet();  // those of the experiment
  return spec;
}

}  // namespace

Result<std::unique_ptr<experiment::Service>> listen(const std::vector<std::string>& addresses) {
  if (addresses.empty()) return std::unique_ptr<experiment::Service>();
  std::vector<serve::Listener> listeners;
  for (const std::string& address : addresses) {
    TC_TRY(auto listener, serve::Listener::open(address));
    listeners.push_back(std::move(listener));
  }
  TC_TRY(auto server, serve::Server::start(std::move(listeners)));
  return std::make_unique<experiment::Service>(std::move(server), read_clocks);
}

}  // namespace time_chaos::cli
