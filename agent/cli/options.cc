#include "agent/cli/options.h"

#include <fmt/format.h>

#include <charconv>

#include "agent/clock/duration.h"
#include "agent/targets/container_path.h"

namespace time_chaos::cli {
namespace {

Result<pid_t> parse_pid(const std::string& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid <= 0) {
    return fail(Exit::kUsage, fmt::format("--pid {} is not a process id", text),
                "use --pid N, or --name COMM");
  }
  return pid;
}

// Each alone, or each container in each pod.
Result<std::vector<targets::ContainerQuery>> parse_containers(
    const std::vector<std::string>& containers, const std::vector<std::string>& pods) {
  constexpr std::string_view kWhole = "name:";
  std::vector<targets::ContainerQuery> alone;
  for (const std::string& container : containers) {
    const bool whole = container.starts_with(kWhole);
    alone.push_back({whole ? container.substr(kWhole.size()) : container, "", whole});
    if (alone.back().container.empty())
      return fail(Exit::kUsage, "--container is empty", "use --container ID");
  }
  if (pods.empty()) return alone;
  if (containers.empty()) alone.emplace_back();
  std::vector<targets::ContainerQuery> queries;
  for (const std::string& pod : pods) {
    if (pod.empty()) return fail(Exit::kUsage, "--pod is empty", "use --pod UID");
    for (targets::ContainerQuery query : alone) {
      query.pod = targets::pod_uid(pod);
      queries.push_back(std::move(query));
    }
  }
  return queries;
}

}  // namespace

Error option_error(const Error& error, const char* option) {
  return Error(Exit::kUsage, fmt::format("{}: {}", option, error.message()), error.remedy());
}

void add_output(CLI::App& app, OutputOptions& output) {
  app.add_flag("--json", output.json, "JSON, one object a line");
  app.add_flag_callback(
      "--log-json",
      [&output] {
        output.json = true;
        output.log = true;
      },
      "JSON for a log: with the time, and errors on stdout as well");
  app.add_flag("-v,--verbose", output.verbose, "Say more");
}

void add_targets(CLI::App& app, TargetOptions& targets) {
  app.add_option("--pid", targets.pids, "A process, by pid (repeatable)")->type_name("N");
  app.add_option("--name", targets.names, "All processes of that name, as in /proc/PID/comm")
      ->type_name("COMM");
  app.add_option("--cgroup", targets.cgroups, "All processes of a control group and those below it")
      ->type_name("PATH");
  app.add_option("--container", targets.containers,
                 "All processes of a container, by its name, or the beginning of its id or name; "
                 "name:NAME: by its whole name alone; with --pod: of that pod's")
      ->type_name("ID");
  app.add_option("--pod", targets.pods, "All containers of a pod, by its UID, or NAMESPACE/NAME")
      ->type_name("UID");
  app.add_flag("--all-but-me", targets.all_but_me,
               "In a pod with a shared pid namespace: all that are not in this container");
  app.add_option("--experiment", targets.experiments, "Whatever carries that experiment")
      ->type_name("NAME");
}

void add_engines(CLI::App& app, EngineOptions& engines) {
  app.add_option("--engine-vdso", engines.vdso, "detour (the default), plt, or off")
      ->type_name("HOW");
  app.add_option("--module", engines.modules,
                 "With plt: only what this library, or the program's own file, calls (repeatable)")
      ->type_name("FILE");
  app.add_option(
         "--engine-syscalls", engines.syscalls,
         "Raw clock system calls: bpf, ptrace (slow, follows every thread), off, or auto (the "
         "default: bpf where the kernel permits it, else ptrace)")
      ->type_name("HOW");
  app.add_option("--patch", engines.patch,
                 "auto (the default: one byte where possible) or five-byte (stops all threads)")
      ->type_name("HOW");
  app.add_flag("--force", engines.force, "Suspend a seccomp filter that forbids our system calls");
  app.add_flag(
      "--no-children{true},--children{false}", engines.no_children,
      "Leave the clocks of children alone (by ptrace); the default is that they are shifted");
}

Result<experiment::Selection> TargetOptions::parse() const {
  experiment::Selection selection{{}, names, cgroups, experiments, all};
  selection.all_but_me = all_but_me;
  TC_TRY(selection.containers, parse_containers(containers, pods));
  for (const std::string& text : pids) {
    TC_TRY(const pid_t pid, parse_pid(text));
    selection.pids.push_back(pid);
  }
  for (const std::string& name : names) {
    if (name.empty()) return fail(Exit::kUsage, "--name is empty", "use --name COMM");
  }
  for (const std::string& cgroup : cgroups) {
    if (cgroup.empty()) return fail(Exit::kUsage, "--cgroup is empty", "use --cgroup PATH");
  }
  return selection;
}

Status EngineOptions::apply(experiment::ShiftRequest& request) const {
  namespace plan = time_chaos::vdso;
  const auto unknown = [](const char* option, const std::string& word, const char* known) {
    return fail(Exit::kUsage, fmt::format("{} {} is not known", option, word),
                fmt::format("use {}", known));
  };
  if (vdso != "detour" && vdso != "plt" && vdso != "off") {
    return unknown("--engine-vdso", vdso, "detour, plt or off");
  }
  if (!modules.empty() && vdso != "plt") {
    return fail(Exit::kUsage, "--module chooses whose calls are shifted by --engine-vdso plt",
                "add --engine-vdso plt");
  }
  if (syscalls == "ptrace") {
    request.syscalls = experiment::SyscallEngine::kPtrace;
  } else if (syscalls == "bpf") {
    request.syscalls = experiment::SyscallEngine::kBpf;
  } else if (syscalls == "off") {
    request.syscalls = experiment::SyscallEngine::kOff;
  } else if (syscalls != "auto") {
    return unknown("--engine-syscalls", syscalls, "auto, bpf, ptrace or off");
  }
  if (patch != "auto" && patch != "five-byte") {
    return unknown("--patch", patch, "auto or five-byte");
  }
  if (patch == "five-byte") request.detour = plan::Detour::kFiveByte;
  if (vdso == "off") request.detour = plan::Detour::kNone;
  if (vdso == "plt") {
    request.detour = plan::Detour::kPlt;
    request.modules = modules;
    // Whose system call it is, no engine for them can tell: only those made by the C library's
    // syscall() are shifted, unless the user wants all.
    if (syscalls == "auto") request.syscalls = experiment::SyscallEngine::kOff;
  }
  if (vdso == "off" && request.syscalls == experiment::SyscallEngine::kOff) {
    return fail(Exit::kUsage, "--engine-vdso off and --engine-syscalls off leave no engine",
                "leave out one of them");
  }
  request.force = force;
  request.children = !no_children;
  return {};
}

Result<std::optional<std::chrono::nanoseconds>> parse_span(const std::optional<std::string>& text,
                                                           const char* option) {
  if (!text) return std::optional<std::chrono::nanoseconds>();
  const auto duration = clock::parse_duration(*text);
  if (!duration) return fail(option_error(duration.error(), option));
  if (*duration <= std::chrono::nanoseconds(0)) {
    return fail(Exit::kUsage, fmt::format("{} {} is over at once", option, *text),
                "use a span longer than nothing");
  }
  return std::optional(*duration);
}

}  // namespace time_chaos::cli
