// /proc/PID/stat (proc_pid_stat(5)): "PID (COMM) STATE field4 ... field52". COMM may itself hold
// ") R 1 (", so the fields are counted from the last ')' of the line: behind it stand only one
// letter and numbers.
#include <fmt/format.h>

#include "agent/targets/proc_text.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

constexpr uint64_t kPfKthread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h
constexpr int kStateField = 3;
constexpr int kFlagsField = 9;
constexpr int kStartTimeField = 22;
constexpr int kStackStartField = 28;

}  // namespace

Result<ProcStat> parse_stat(std::string_view text) {
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return fail(Exit::kFailed, "process stat: no name in parentheses");
  }
  ProcStat stat;
  stat.name = unescaped_comm(text.substr(open + 1, close - open - 1));
  std::string_view rest = trimmed(text.substr(close + 1));
  for (int number = kStateField; number <= kStartTimeField; ++number) {
    const std::string_view field = next_field(rest);
    if (field.empty()) return fail(Exit::kFailed, fmt::format("process stat: ends at {}", number));
    if (number == kStateField) stat.state = field.front();
    if (number != kFlagsField && number != kStartTimeField) continue;
    const auto value = to_number<uint64_t>(field);
    if (!value) {
      return fail(Exit::kFailed, fmt::format("process stat: field {} is not a number", number));
    }
    (number == kFlagsField ? stat.flags : stat.start_time) = *value;
  }
  stat.kernel_thread = (stat.flags & kPfKthread) != 0;
  return stat;
}

Result<ProcStat> read_stat(pid_t pid) {
  TC_TRY(const std::string text, read_process_file(pid, "stat"));
  return parse_stat(text);
}

Result<uint64_t> parse_start_time(std::string_view stat_text) {
  TC_TRY(const ProcStat stat, parse_stat(stat_text));
  return stat.start_time;
}

Result<uint64_t> read_start_time(pid_t pid) {
  TC_TRY(const ProcStat stat, read_stat(pid));
  return stat.start_time;
}

Result<uint64_t> parse_stack_start(std::string_view text) {
  const size_t close = text.rfind(')');
  std::string_view rest = close == std::string_view::npos ? "" : trimmed(text.substr(close + 1));
  std::string_view field;
  for (int number = kStateField; number <= kStackStartField; ++number) field = next_field(rest);
  const auto value = to_number<uint64_t>(field);
  if (!value) return fail(Exit::kFailed, "process stat: no start of the stack");
  if (*value == 0) {
    return fail(Exit::kNotPermitted, "the kernel does not show its stack", "run as root");
  }
  return *value;
}

Result<uint64_t> read_stack_start(pid_t pid) {
  TC_TRY(const std::string text, read_process_file(pid, "stat"));
  return parse_stack_start(text);
}

Result<bool> is_kernel_thread(pid_t pid) {
  TC_TRY(const ProcStat stat, read_stat(pid));
  return stat.kernel_thread;
}

}  // namespace time_chaos::targets
