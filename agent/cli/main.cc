#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>

#include "agent/base/error.h"
#include "agent/cli/commands.h"
#include "agent/cli/output.h"

namespace time_chaos::cli {
namespace {

constexpr char kFooter[] =
    "Examples:\n"
    "  time-chaos agent --pid 4242 --offset -1h              until Ctrl-C\n"
    "  time-chaos agent --name payments --offset 30s --duration 10m\n"
    "  time-chaos run --offset 1d -- ./my-test\n"
    "  time-chaos preview --strobe 200ms,1s\n"
    "  time-chaos status\n"
    "  time-chaos recover --all\n"
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 not permitted, 4 target not there, 5 not supported "
    "here,\n            6 done in part";

// CLI11's messages can span lines; ours are one.
int usage_error(std::string message, const Arguments& line) {
  std::replace(message.begin(), message.end(), '\n', ' ');
  return report(Error(Exit::kUsage, message, "see time-chaos --help"), output_of(line));
}

}  // namespace

void add_commands(CLI::App& program, Chosen& chosen, const Given& given) {
  add_agent(program, chosen, given);
  add_run(program, chosen);
  add_set(program, chosen);
  add_preview(program, chosen);
  add_status(program, chosen);
  add_recover(program, chosen);
  add_doctor(program, chosen);
  for (CLI::App* command : program.get_subcommands({})) add_config(*command);
}

int run_program(int argc, char** argv) {
  CLI::App program("Gives any running Linux process a different clock, and takes it back.",
                   "time-chaos");
  program.set_version_flag("--version", "time-chaos " TIME_CHAOS_VERSION);
  program.require_subcommand(1);
  program.footer(kFooter);
  Chosen chosen;
  Given given;
  add_commands(program, chosen, given);
  // CLI11 would say that a subcommand is missing.
  const auto commands = program.get_subcommands([](const CLI::App*) { return true; });
  const bool known = argc > 1 && std::any_of(commands.begin(), commands.end(), [&](const auto* c) {
                       return c->get_name() == argv[1];
                     });
  const Arguments line(argv + std::min(argc, 1), argv + argc);
  if (argc > 1 && argv[1][0] != '-' && !known) {
    return usage_error(std::string("unknown command ") + argv[1], line);
  }
  try {
    parse(program, line);
    const auto whole = complete(program, line, given);
    if (!whole) return report(whole.error(), output_of(line));
    if (*whole != line) parse(program, *whole);
  } catch (const CLI::Success& success) {  // --help, --version
    return program.exit(success);
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what(), line);
  }
  return chosen();
}

}  // namespace time_chaos::cli
