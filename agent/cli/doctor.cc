// time-chaos doctor: what this machine, and a target, allow; what is missing, and how to get it.
#include "agent/experiment/doctor.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "agent/cli/commands.h"
#include "agent/cli/output.h"
#include "agent/experiment/select.h"
#include "agent/tracee/try_ptrace.h"

namespace time_chaos::cli {
namespace {

struct DoctorOptions {
  TargetOptions targets;
  OutputOptions output;
};

nlohmann::json json(const std::vector<experiment::Finding>& findings) {
  nlohmann::json list = nlohmann::json::array();
  for (const auto& finding : findings) {
    list.push_back({{"engine", finding.engine},
                    {"verdict", experiment::name(finding.verdict)},
                    {"why", finding.why},
                    {"remedy", finding.remedy},
                    {"details", finding.details}});
  }
  return list;
}

void print(const std::string& who, const std::vector<experiment::Finding>& findings, bool verbose) {
  say(who);
  for (const auto& finding : findings) {
    say(fmt::format("  {:<17} {:<8} {}{}", finding.engine, experiment::name(finding.verdict),
                    finding.why, finding.remedy.empty() ? "" : "; " + finding.remedy));
    if (!verbose) continue;
    for (const std::string& detail : finding.details) say(fmt::format("{:28}{}", "", detail));
  }
}

int run(const DoctorOptions& options) {
  const auto selection = options.targets.parse();
  if (!selection) return report(selection.error(), options.output);
  std::vector<pid_t> pids;
  if (!selection->empty()) {
    const auto processes = experiment::select(*selection);
    if (!processes) return report(processes.error(), options.output);
    for (const auto& process : *processes) pids.push_back(process.pid());
  }
  const auto machine = targets::read_machine();
  if (!machine) return report(machine.error(), options.output);
  const auto diagnosis = experiment::examine(*machine, tracee::try_ptrace, syscalls::try_bpf, pids);
  if (options.output.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const auto& target : diagnosis.targets) {
      list.push_back(
          {{"pid", target.pid}, {"target", target.label}, {"engines", json(target.findings)}});
    }
    say(nlohmann::json{{"kernel", machine->kernel_release},
                       {"architecture", machine->architecture},
                       {"engines", json(diagnosis.machine)},
                       {"targets", list}},
        options.output);
    return 0;
  }
  print(fmt::format("this machine (Linux {}, {})", machine->kernel_release, machine->architecture),
        diagnosis.machine, options.output.verbose);
  for (const auto& target : diagnosis.targets) {
    print(target.label, target.findings, options.output.verbose);
  }
  return 0;
}

}  // namespace

void add_doctor(CLI::App& program, Chosen& chosen) {
  auto options = std::make_shared<DoctorOptions>();
  CLI::App* app = program.add_subcommand("doctor", "Say what this machine (a target) allows");
  add_targets(*app, options->targets);
  add_output(*app, options->output);
  app->callback([options, &chosen] { chosen = [options] { return run(*options); }; });
}

}  // namespace time_chaos::cli
