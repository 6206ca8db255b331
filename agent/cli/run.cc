// time-chaos run: starts a command shifted from its first instruction, exits with its status.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>

#include "agent/cli/clock_options.h"
#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "agent/experiment/launch.h"
#include "agent/experiment/report.h"

namespace time_chaos::cli {
namespace {

struct RunOptions {
  ClockOptions clocks;
  EngineOptions engines;
  OutputOptions output;
  std::vector<std::string> command;
};

Result<experiment::ShiftRequest> request_of(const RunOptions& options) {
  experiment::ShiftRequest request;
  TC_TRY(request.clocks, options.clocks.parse());
  TC_CHECK(options.engines.apply(request));
  if (request.detour == vdso::Detour::kPlt) {
    return fail(Exit::kUsage, "run shifts a command before its libraries are loaded",
                "leave out --engine-vdso plt, or start it by itself and use time-chaos agent");
  }
  TC_TRY(request.experiment, experiment::name_of({}));
  return request;
}

// Ends as the command ended. A core, if one was wanted, is the command's, not ours.
int end_like(const experiment::Ended& ended) {
  if (!WIFSIGNALED(ended.wait_status)) return WEXITSTATUS(ended.wait_status);
  const int signal = WTERMSIG(ended.wait_status);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  std::signal(signal, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::kill(::getpid(), signal);
  return 128 + signal;
}

int run(const RunOptions& options) {
  const auto request = request_of(options);
  if (!request) return report(request.error(), options.output);
  // stdout belongs to the command.
  const auto ended = experiment::launch(
      *request, options.command,
      [&](const experiment::Shifted& shifted, const experiment::SyscallChoice& choice) {
        const std::string escapes = experiment::hidden_time_text(shifted, choice);
        if (!escapes.empty()) std::fprintf(stderr, "time-chaos: %s\n", escapes.c_str());
        if (!options.output.verbose) return;
        std::fprintf(stderr, "time-chaos: %s\n", experiment::text(choice, true).c_str());
        std::fprintf(stderr, "time-chaos: %s\n", experiment::text(shifted, true).c_str());
      });
  if (!ended) return report(ended.error(), options.output);
  for (const Error& error : ended->not_recovered) (void)report(error, options.output);
  if (ended->escaped_programs != 0) {
    std::fprintf(stderr, "time-chaos: %s\n",
                 experiment::escaped_text(ended->escaped_programs).c_str());
  }
  return end_like(*ended);
}

}  // namespace

void add_run(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* app = program.add_subcommand(
      "run", "Start a command shifted from its first instruction; exit with its status");
  add_clocks(*app, options->clocks);
  add_engines(*app, options->engines);
  app->add_flag("-v,--verbose", options->output.verbose, "Say on stderr what was done");
  app->add_option("command", options->command, "The command, behind --")->required();
  app->prefix_command(false);
  app->positionals_at_end();
  app->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace time_chaos::cli
