#include "agent/cli/agent_options.h"

#include <fmt/format.h>

#include "agent/targets/pick.h"

namespace time_chaos::cli {

// What contradicts a library that says itself what clocks show.
Status AgentOptions::check_fake() const {
  const auto leave_out = [](const char* why, const char* option) {
    return fail(Exit::kUsage, why, fmt::format("leave out {}", option));
  };
  if (!(clocks == ClockOptions())) {
    return leave_out("the library of --fake says itself what clocks show",
                     "--offset and its like, or --fake");
  }
  if (engines.vdso != "detour" || engines.patch != "auto") {
    return leave_out("--fake is a detour of the vDSO, by five bytes", "--engine-vdso and --patch");
  }
  if (engines.syscalls != "auto" && engines.syscalls != "off") {
    return leave_out("--fake leaves system calls alone", "--engine-syscalls");
  }
  if (engines.no_children) {
    return leave_out("children of a target of --fake have its library", "--no-children");
  }
  if (engines.force) {
    return leave_out("--force suspends filters only for our own few calls, not for a loader's",
                     "--force");
  }
  if (plot) return leave_out("what a library will show nobody knows", "--plot");
  return {};
}

Status AgentOptions::apply_fake(experiment::ShiftRequest& request) const {
  auto library = experiment::read_fake_library(*fake);
  if (!library) return fail(option_error(library.error(), ("--fake " + *fake).c_str()));
  request.fake = std::move(*library);
  request.detour = vdso::Detour::kFake;
  request.syscalls = experiment::SyscallEngine::kOff;
  return {};
}

Result<experiment::ShiftRequest> AgentOptions::request(const Given& given) const {
  experiment::ShiftRequest request;
  TargetOptions picked = targets;
  TC_TRY(picked.pods, targets::pick(targets.pods, mode, value));
  TC_TRY(request.targets, picked.parse());
  // Here --experiment names what is made.
  TC_TRY(request.experiment, experiment::name_of(targets.experiments));
  request.targets.experiments.clear();
  const bool others = request.targets.containers.empty() && !request.targets.empty();
  if (!given.unresolved.empty() && picked.pods.empty() && !others) {
    return fail(Exit::kUsage,
                fmt::format("{}: {} needs an API server", given.unresolved_place, given.unresolved),
                "give the pods: --pod UID");
  }
  if (mode != "all" && picked.pods.empty()) {
    return fail(Exit::kUsage, "--mode chooses among pods, and none is given",
                "add --pod UID, or use --mode all");
  }
  if (fake) {
    TC_CHECK(check_fake());
    request.clocks.offset = std::chrono::nanoseconds(0);
  } else {
    TC_TRY(request.clocks, clocks.parse());
  }
  TC_TRY(request.duration, parse_span(duration, "--duration"));
  TC_TRY(request.wait, parse_span(wait, "--wait"));
  TC_CHECK(engines.apply(request));
  if (fake) TC_CHECK(apply_fake(request));
  if (plot && (!dry_run || output.json)) {
    return fail(Exit::kUsage, "--plot draws what --dry-run would do, for people",
                "add --dry-run and leave out --json, or use time-chaos preview --json");
  }
  request.detach = detach;
  if (!listen.empty() && (detach || dry_run)) {
    return fail(Exit::kUsage, "--listen wants an agent that stays",
                "leave out --detach and --dry-run");
  }
  if (request.detach && request.syscalls == experiment::SyscallEngine::kPtrace) {
    return fail(Exit::kUsage, "--detach would end the ptrace engine, which lives in this agent",
                "leave out one of --detach and --engine-syscalls ptrace");
  }
  if (lease != "off") {
    TC_TRY(request.lease, parse_span(lease, "--lease"));
    if (!lease && !detach) request.lease = experiment::kDefaultLease;
  }
  return request;
}

void add_agent_options(CLI::App& app, AgentOptions& options) {
  add_targets(app, options.targets);
  app.get_option("--experiment")->description("The experiment's name (default: made up)");
  add_clocks(app, options.clocks);
  app.add_option("--fake", options.fake,
                 "Instead: a shared library whose fake_clock_gettime, fake_gettimeofday and "
                 "fake_time take the place of the vDSO's functions (time_chaos/fake.h)")
      ->type_name("LIBRARY");
  app.add_option("--duration", options.duration, "Recover after that time")->type_name("DURATION");
  app.add_option("--lease", options.lease,
                 "Clocks return by themselves so long after this agent was killed (default 10m; "
                 "off: never; with --detach: off)")
      ->type_name("DURATION");
  app.add_option("--wait", options.wait,
                 "Wait so long for targets that are not there yet, and for containers that have "
                 "ended (default: not for the first; 30s for the second)")
      ->type_name("DURATION");
  app.add_option("--mode", options.mode,
                 "Which of several pods: all (the default), one, fixed, fixed-percent, "
                 "random-max-percent (of --value; drawn at random)")
      ->type_name("MODE");
  app.add_option("--value", options.value, "How many, or how many percent, for --mode")
      ->type_name("N");
  app.add_option("--listen", options.listen,
                 "Serve /healthz, /readyz and /metrics on 127.0.0.1:PORT; on unix:PATH (mode 0600) "
                 "/status, /set and /recover as well")
      ->type_name("ADDRESS");
  app.add_flag("--detach", options.detach, "Leave the targets shifted and exit");
  app.add_flag("--dry-run", options.dry_run, "Say what would be done, or refused; change nothing");
  app.add_flag("--plot", options.plot, "With --dry-run: draw what the targets would see");
  add_engines(app, options.engines);
  add_output(app, options.output);
  add_manifest(app);
}

}  // namespace time_chaos::cli
