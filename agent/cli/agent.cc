// time-chaos agent: shifts targets, stays, recovers them.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/cli/agent_options.h"
#include "agent/cli/commands.h"
#include "agent/cli/config_watch.h"
#include "agent/cli/listening.h"
#include "agent/cli/output.h"
#include "agent/cli/plot.h"
#include "agent/cli/progress.h"
#include "agent/clock/duration.h"
#include "agent/experiment/conduct.h"
#include "agent/experiment/report.h"

namespace time_chaos::cli {
namespace {

using experiment::ShiftRequest;

class Printer : public experiment::Events {
 public:
  Printer(const OutputOptions& output, const ShiftRequest& request, bool plot)
      : output_(output), request_(request), plot_(plot) {}

  void chosen(const experiment::SyscallChoice& choice) override {
    const std::string line = experiment::text(choice, output_.verbose);
    if (line.empty()) return;
    output_.json ? emit(experiment::json(choice)) : say(line);
  }
  void waits(const Error& missing, experiment::Nanoseconds span) override {
    if (output_.json) {
      return emit(nlohmann::json{
          {"event", "waiting"}, {"why", missing.message()}, {"for_ns", span.count()}});
    }
    say(fmt::format("{} yet: waiting for it, up to {}", missing.message(),
                    clock::format_duration(span)));
  }
  void planned(const experiment::PlannedTarget& target,
               const experiment::SyscallChoice& choice) override {
    output_.json ? emit(experiment::json(target, request_, choice))
                 : say(experiment::text(target, request_, choice, output_.verbose));
    if (!plot_) return;
    say(plot_text(
        plot_request(request_.clocks, target.maps, clock::read_host_clocks(), request_.duration)));
  }
  void shifted(const experiment::Shifted& target) override {
    output_.json ? emit(experiment::json(target)) : say(experiment::text(target, output_.verbose));
  }
  void follows(const experiment::FollowWay& way) override {
    output_.json ? emit(experiment::json(way)) : say(experiment::text(way));
  }
  void appeared(pid_t pid, const std::string& command, const std::string& selector,
                bool by_bpf) override {
    progress_.clear();
    output_.json ? emit(experiment::appeared_json(pid, command, selector, by_bpf))
                 : say(experiment::appeared_text(pid, command, selector, by_bpf));
  }
  void loaded(pid_t pid, size_t slots) override {
    progress_.clear();
    if (output_.json) {
      emit(nlohmann::json{{"event", "loaded"}, {"pid", pid}, {"slots", slots}});
    } else {
      say(fmt::format("{}: {} more slot{} by plt (loaded since)", pid, slots,
                      slots == 1 ? "" : "s"));
    }
  }
  void following(pid_t pid, const syscalls::Counters& counters) override {
    if (output_.json) {
      emit(nlohmann::json{{"event", "following"},
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
    output_.json ? emit(experiment::json(pid, counters)) : say(experiment::text(pid, counters));
  }
  void changed(const experiment::Changed& target) override {
    progress_.clear();
    output_.json ? emit(experiment::json(target)) : say(experiment::text(target));
  }
  void recovered(const experiment::Recovered& target) override {
    progress_.clear();
    output_.json ? emit(experiment::json(target)) : say(experiment::text(target, output_.verbose));
  }
  void released(pid_t pid, const std::string& command) override {
    progress_.clear();
    output_.json ? emit(experiment::released_json(pid, command))
                 : say(experiment::released_text(pid, command));
  }
  void gone(pid_t pid, const std::string& command) override {
    progress_.clear();
    if (output_.json) {
      emit(nlohmann::json{{"event", "gone"}, {"pid", pid}, {"command", command}});
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
  void emit(const nlohmann::json& object) { say(object, output_); }

  const OutputOptions& output_;
  const ShiftRequest& request_;
  bool plot_;
  Progress progress_;
};

int run(const AgentOptions& options, const Given& given) {
  const auto refuse = [&](const Error& error) {
    return report(given.placed(error), options.output);
  };
  const auto request = options.request(given);
  if (!request) return refuse(request.error());
  std::vector<experiment::Asker*> askers;
  std::unique_ptr<ConfigWatch> config;
  if (given.config && !options.dry_run && !options.detach) {
    auto watch = ConfigWatch::open(given, options.clocks);
    if (!watch) return refuse(watch.error());
    config = std::move(*watch);
    askers.push_back(config.get());
  }
  auto service = listen(options.listen);
  if (!service) return refuse(service.error());
  if (*service) askers.push_back(service->get());
  Printer printer(options.output, *request, options.plot);
  return static_cast<int>(experiment::conduct(*request, options.dry_run, printer, askers));
}

}  // namespace

void add_agent(CLI::App& program, Chosen& chosen, const Given& given) {
  auto options = std::make_shared<AgentOptions>();
  CLI::App* app = program.add_subcommand("agent", "Shift running processes, until told to stop");
  add_agent_options(*app, *options);
  app->callback(
      [options, &chosen, &given] { chosen = [options, &given] { return run(*options, given); }; });
}

}  // namespace time_chaos::cli
