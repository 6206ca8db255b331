#include "agent/experiment/telemetry.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <iterator>

#include "agent/base/files.h"

namespace time_chaos::experiment {
namespace {

// One metric after the other: what it is, and its samples.
class Writer {
 public:
  void begin(const char* name, const char* type, const char* help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
  }
  template <typename Value>
  void sample(Value value, const std::string& labels = "", const char* part = "") {
    fmt::format_to(std::back_inserter(text_), "{}{}{} {}\n", name_, part, labels, value);
  }
  template <typename Value>
  void single(const char* name, const char* type, const char* help, Value value) {
    begin(name, type, help);
    sample(value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
  const char* name_ = "";
};

double seconds(std::chrono::nanoseconds span) {
  return std::chrono::duration<double>(span).count();
}

void write_calls(const Telemetry& telemetry, Writer& out) {
  const auto labels = [](const Telemetry::Calls& calls) {
    return fmt::format("{{engine=\"{}\",clock=\"{}\"}}", calls.engine, calls.clock);
  };
  out.begin("time_chaos_shifted_calls_total", "counter",
            "Raw clock system calls that were shifted.");
  for (const auto& calls : telemetry.calls) out.sample(calls.shifted, labels(calls));
  out.begin("time_chaos_refused_writes_total", "counter",
            "Raw clock system calls whose result could not be written: they showed real time.");
  for (const auto& calls : telemetry.calls) out.sample(calls.refused, labels(calls));
}

}  // namespace

std::string prometheus(const Telemetry& telemetry) {
  Writer out;
  out.begin("time_chaos_experiment_info", "gauge", "The experiment.");
  out.sample(1, fmt::format("{{experiment=\"{}\"}}", telemetry.experiment));
  out.single("time_chaos_in_force", "gauge", "1 while a target is shifted.",
             telemetry.in_force ? 1 : 0);
  out.single("time_chaos_targets", "gauge", "Targets that live, without their descendants.",
             telemetry.targets);
  out.begin("time_chaos_offset_seconds", "gauge",
            "How far a clock of the targets is ahead of real time.");
  for (const auto& [clock, offset] : telemetry.offsets) {
    out.sample(seconds(offset), fmt::format("{{clock=\"{}\"}}", clock));
  }
  write_calls(telemetry, out);
  out.single("time_chaos_refused_clock_sets_total", "counter",
             "Calls by which targets would have set the machine's clock, counted by ptrace.",
             telemetry.refused_sets);
  out.begin("time_chaos_attach_stop_seconds", "summary",
            "How long attaches stopped their targets.");
  out.sample(seconds(telemetry.stopped), "", "_sum");
  out.sample(telemetry.attaches, "", "_count");
  out.begin("time_chaos_attach_stop_longest_seconds", "gauge", "The longest of these stops.");
  out.sample(seconds(telemetry.longest_stop));
  out.single("time_chaos_changes_total", "counter", "Changes of the clocks while the agent ran.",
             telemetry.changes);
  out.single("time_chaos_failures_total", "counter", "Errors that the agent has said.",
             telemetry.failures);
  out.single("process_cpu_seconds_total", "counter", "Processor time of the agent.",
             seconds(telemetry.processor_time));
  out.single("process_resident_memory_bytes", "gauge", "Resident memory of the agent.",
             telemetry.resident_bytes);
  return out.take();
}

void measure_self(Telemetry& telemetry) {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  for (const timeval& part : {usage.ru_utime, usage.ru_stime}) {
    telemetry.processor_time += std::chrono::seconds(part.tv_sec);
    telemetry.processor_time += std::chrono::microseconds(part.tv_usec);
  }
  const auto statm = read_file("/proc/self/statm");  // pages: size resident ...
  if (!statm) return;
  const size_t space = statm->find(' ');
  if (space == std::string::npos) return;
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  telemetry.resident_bytes = std::strtoull(statm->c_str() + space, nullptr, 10) * page;
}

}  // namespace time_chaos::experiment
