// time-chaos agent: shifts targets, stays, recovers them.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/cli/clock_options.h"
#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "agent/cli/plot.h"
#include "agent/cli/progress.h"
#include "agent/experiment/conduct.h"
#include "agent/experiment/report.h"

namespace time_chaos::cli {
namespace {

using experiment::ShiftRequest;

struct AgentOptions {
  TargetOptions targets;
  ClockOptions clocks;
  EngineOptions engines;
  OutputOptions output;
  std::optional<std::string> duration;
  std::optional<std::string> lease;
  bool detach = false;
  bool dry_run = false;
  bool plot = false;
};

class Printer : public experiment::Events {
 public:
  Printer(const OutputOptions& output, const ShiftRequest& request, bool plot)
      : output_(output), request_(request), plot_(plot) {}

  void chosen(const experiment::SyscallChoice& choice) override {
    const std::string line = experiment::text(choice, output_.verbose);
    if (line.empty()) return;
    output_.json ? say(experiment::json(choice)) : say(line);
  }
  void planned(const experiment::PlannedTarget& target,
               const experiment::SyscallChoice& choice) override {
    output_.json ? say(experiment::json(target, request_, choice))
                 : say(experiment::text(target, request_, choice, output_.verbose));
    if (!plot_) return;
    say(plot_text(
        plot_request(request_.clocks, target.maps, clock::read_host_clocks(), request_.duration)));
  }
  void shifted(const experiment::Shifted& target) override {
    output_.json ? say(experiment::json(target)) : say(experiment::text(target, output_.verbose));
  }
  void follows(const experiment::FollowWay& way) override {
    output_.json ? say(experiment::json(way)) : say(experiment::text(way));
  }
  void appeared(pid_t pid, const std::string& command, const std::string& selector,
                bool by_bpf) override {
    progress_.clear();
    output_.json ? say(experiment::appeared_json(pid, command, selector, by_bpf))
                 : say(experiment::appeared_text(pid, command, selector, by_bpf));
  }
  void loaded(pid_t pid, size_t slots) override {
    progress_.clear();
    if (output_.json) {
      say(nlohmann::json{{"event", "loaded"}, {"pid", pid}, {"slots", slots}});
    } else {
      say(fmt::format("{}: {} more slot{} by plt (loaded since)", pid, slots,
                      slots == 1 ? "" : "s"));
    }
  }
  void following(pid_t pid, const syscalls::Counters& counters) override {
    if (output_.json) {
      say(nlohmann::json{{"event", "following"},
                         {"pid", pid},
                         {"engine", "ptrace"},
                         {"threads", counters.threads}});
    } else {
      say(fmt::format("{}: raw clock system calls of {} thread(s) are shifted by ptrace", pid,
                      counters.threads));
    }
  }
  void followed(pid_t pid, const syscalls::Counters& counters) override {
    progress_.clear();
    output_.json ? say(experiment::json(pid, counters)) : say(experiment::text(pid, counters));
  }
  void recovered(const experiment::Recovered& target) override {
    progress_.clear();
    output_.json ? say(experiment::json(target)) : say(experiment::text(target, output_.verbose));
  }
  void released(pid_t pid, const std::string& command) override {
    progress_.clear();
    output_.json ? say(experiment::released_json(pid, command))
                 : say(experiment::released_text(pid, command));
  }
  void gone(pid_t pid, const std::string& command) override {
    progress_.clear();
    if (output_.json) {
      say(nlohmann::json{{"event", "gone"}, {"pid", pid}, {"command", command}});
    } else {
      say(fmt::format("{} ({}) has ended", pid, command));
    }
  }
  void failed(const Error& error) override {
    progress_.clear();
    (void)report(error, output_);
  }
  std::optional<std::chrono::milliseconds> tick_period() override {
    if (output_.json || !request_.duration || ::isatty(STDOUT_FILENO) == 0) return std::nullopt;
    return std::chrono::milliseconds(1000);
  }
  void tick(std::optional<experiment::Nanoseconds> left) override {
    if (left && request_.duration) progress_.draw(*left, *request_.duration);
  }

 private:
  const OutputOptions& output_;
  const ShiftRequest& request_;
  bool plot_;
  Progress progress_;
};

Result<ShiftRequest> request_of(const AgentOptions& options) {
  ShiftRequest request;
  TC_TRY(request.targets, options.targets.parse());
  TC_TRY(request.clocks, options.clocks.parse());
  TC_TRY(request.duration, parse_span(options.duration, "--duration"));
  TC_CHECK(options.engines.apply(request));
  if (options.plot && (!options.dry_run || options.output.json)) {
    return fail(Exit::kUsage, "--plot draws what --dry-run would do, for people",
                "add --dry-run and leave out --json, or use time-chaos preview --json");
  }
  request.detach = options.detach;
  if (request.detach && request.syscalls == experiment::SyscallEngine::kPtrace) {
    return fail(Exit::kUsage, "--detach would end the ptrace engine, which lives in this agent",
                "leave out one of --detach and --engine-syscalls ptrace");
  }
  if (options.lease != "off") {
    TC_TRY(request.lease, parse_span(options.lease, "--lease"));
    if (!options.lease && !options.detach) request.lease = experiment::kDefaultLease;
  }
  // Here --experiment names what is made.
  TC_TRY(request.experiment, experiment::name_of(options.targets.experiments));
  request.targets.experiments.clear();
  return request;
}

int run(const AgentOptions& options) {
  const auto request = request_of(options);
  if (!request) return report(request.error(), options.output);
  Printer printer(options.output, *request, options.plot);
  return static_cast<int>(experiment::conduct(*request, options.dry_run, printer));
}

}  // namespace

void add_agent(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<AgentOptions>();
  CLI::App* app = program.add_subcommand("agent", "Shift running processes, until told to stop");
  add_targets(*app, options->targets);
  app->get_option("--experiment")->description("The experiment's name (default: made up)");
  add_clocks(*app, options->clocks);
  app->add_option("--duration", options->duration, "Recover after that time")
      ->type_name("DURATION");
  app->add_option("--lease", options->lease,
                  "Clocks return by themselves so long after this agent was killed (default 10m; "
                  "off: never; with --detach: off)")
      ->type_name("DURATION");
  app->add_flag("--detach", options->detach, "Leave the targets shifted and exit");
  app->add_flag("--dry-run", options->dry_run, "Say what would be done; touch nothing");
  app->add_flag("--plot", options->plot, "With --dry-run: draw what the targets would see");
  add_engines(*app, options->engines);
  add_output(*app, options->output);
  app->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace time_chaos::cli
