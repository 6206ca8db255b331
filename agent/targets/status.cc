// /proc/PID/status (proc_pid_status(5)): "Key:<tab>value" lines, some of which depend on the
// kernel's configuration and version, so only those that every kernel has are required.
#include <algorithm>
#include <array>

#include "agent/targets/proc_text.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

// Bits of the lines without which the answer would be a guess.
enum Required : unsigned {
  kName = 1,
  kState = 2,
  kTgid = 4,
  kPid = 8,
  kParent = 16,
  kTracer = 32,
  kAll = 63,
};

template <typename Number>
Status store(std::string_view key, std::string_view text, Number& out, int base = 10) {
  const auto value = to_number<Number>(text, base);
  if (!value) {
    return fail(Exit::kFailed, "process status: " + std::string(key) + " is \"" +
                                   std::string(text.substr(0, 40)) + "\", not a number");
  }
  out = *value;
  return {};
}

struct NumberLine {
  std::string_view key;
  int ProcStatus::*member;
  unsigned required;
};
constexpr std::array kNumberLines = {
    NumberLine{"Tgid", &ProcStatus::tgid, kTgid},
    NumberLine{"Pid", &ProcStatus::pid, kPid},
    NumberLine{"PPid", &ProcStatus::parent, kParent},
    NumberLine{"TracerPid", &ProcStatus::tracer, kTracer},
    NumberLine{"Threads", &ProcStatus::threads, 0},
    NumberLine{"Seccomp", &ProcStatus::seccomp_mode, 0},
    NumberLine{"Seccomp_filters", &ProcStatus::seccomp_filters, 0},
};

struct WideLine {
  std::string_view key;
  uint64_t ProcStatus::*member;
  int base;
};
constexpr std::array kWideLines = {
    WideLine{"SigPnd", &ProcStatus::pending, 16},
    WideLine{"ShdPnd", &ProcStatus::shared_pending, 16},
    WideLine{"SigBlk", &ProcStatus::blocked, 16},
    WideLine{"SigIgn", &ProcStatus::ignored, 16},
    WideLine{"SigCgt", &ProcStatus::caught, 16},
    WideLine{"CapEff", &ProcStatus::effective_capabilities, 16},
    WideLine{"voluntary_ctxt_switches", &ProcStatus::voluntary_switches, 10},
    WideLine{"nonvoluntary_ctxt_switches", &ProcStatus::involuntary_switches, 10},
};

Status store_ns_pids(std::string_view value, ProcStatus& status) {
  for (auto field = next_field(value); !field.empty(); field = next_field(value)) {
    pid_t pid = 0;
    TC_CHECK(store("NSpid", field, pid));
    status.ns_pids.push_back(pid);
  }
  return {};
}

// One line; `seen` collects the Required bits.
Status store_line(std::string_view key, std::string_view raw, ProcStatus& status, unsigned& seen) {
  const std::string_view value = trimmed(raw);
  for (const NumberLine& line : kNumberLines) {
    if (key != line.key) continue;
    seen |= line.required;
    return store(key, value, status.*line.member);
  }
  for (const WideLine& line : kWideLines) {
    if (key == line.key) return store(key, value, status.*line.member, line.base);
  }
  if (key == "Name") {
    seen |= kName;
    // Exactly one tab stands before it: a name may begin or end with blanks.
    status.name = unescaped_comm(raw.substr(std::min<size_t>(1, raw.size())));
  } else if (key == "State" && !value.empty()) {
    seen |= kState;
    status.state = value.front();
  } else if (key == "NSpid") {
    return store_ns_pids(value, status);
  } else if (key == "Uid") {
    std::string_view rest = value;  // real, effective, saved, file system
    next_field(rest);
    return store(key, next_field(rest), status.uid);
  } else if (key == "VmSize") {
    status.no_memory = false;
  }
  return {};
}

}  // namespace

Result<ProcStatus> parse_status(std::string_view text) {
  ProcStatus status;
  status.no_memory = true;
  unsigned seen = 0;
  while (!text.empty()) {
    const std::string_view line = next_line(text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    TC_CHECK(store_line(line.substr(0, colon), line.substr(colon + 1), status, seen));
  }
  if (seen != kAll) return fail(Exit::kFailed, "process status: lines are missing");
  // A kernel without CONFIG_PID_NS has no NSpid line.
  if (status.ns_pids.empty()) status.ns_pids.push_back(status.pid);
  return status;
}

Result<ProcStatus> read_status(pid_t pid) {
  TC_TRY(const std::string text, read_process_file(pid, "status"));
  return parse_status(text);
}

Result<ProcStatus> read_thread_status(pid_t pid, pid_t tid) {
  TC_TRY(const std::string text, read_thread_file(pid, tid, "status"));
  return parse_status(text);
}

}  // namespace time_chaos::targets
