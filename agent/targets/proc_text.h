// What the parsers of this room share: reading a file of a process, and reading numbers exactly.
// A process may end at any moment, so "not there" is an ordinary answer and has its own exit kind.
#pragma once

#include <sys/types.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/error.h"

namespace time_chaos::targets {

// /proc/PID/FILE. kNoTarget when the process is gone ("no process 4242"), kNotPermitted with a
// remedy, kUnsupported when the process is there and the kernel has no such file.
Result<std::string> read_process_file(pid_t pid, std::string_view file,
                                      size_t limit = size_t{64} << 20);
// /proc/PID/task/TID/FILE, likewise.
Result<std::string> read_thread_file(pid_t pid, pid_t tid, std::string_view file);

// The whole of `text` as a number; nothing for an empty text, a sign on an unsigned type, a value
// out of range or anything left over.
template <typename Number>
std::optional<Number> to_number(std::string_view text, int base = 10) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Takes the next field, separated by spaces or tabs, off the front of `rest`; empty at its end.
std::string_view next_field(std::string_view& rest);
// Takes the next line off the front of `rest`, without its newline.
std::string_view next_line(std::string_view& rest);
// Without spaces, tabs and newlines at both ends.
std::string_view trimmed(std::string_view text);

// The kernel writes a comm into status and stat with newline and backslash as "\n" and "\\"
// (proc_task_name, fs/proc/array.c): back to what it was.
std::string unescaped_comm(std::string_view text);
// For messages: control characters as '?'. A process chooses its own name, and the reader's
// terminal should not obey it.
std::string printable(std::string_view text);

}  // namespace time_chaos::targets
