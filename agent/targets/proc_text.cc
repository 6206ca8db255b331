#include "agent/targets/proc_text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/base/files.h"

namespace time_chaos::targets {
namespace {

constexpr std::string_view kBlank = " \t";

// ENOENT comes from open(2), ESRCH from read(2) when the process ended in between.
bool means_gone(int error_number) {
  return error_number == ENOENT || error_number == ESRCH;
}

Error explained(const Error& error, const std::string& directory, std::string gone) {
  if (means_gone(error.error_number())) {
    // The directory still there: then it is the file that is missing.
    if (error.error_number() == ENOENT && ::access(directory.c_str(), F_OK) == 0) {
      return Error(Exit::kUnsupported, error.message());
    }
    return Error(Exit::kNoTarget, std::move(gone));
  }
  if (error.kind() == Exit::kNotPermitted) {
    return error.with_remedy("run as root, or with CAP_SYS_PTRACE");
  }
  return error;
}

}  // namespace

Result<std::string> read_process_file(pid_t pid, std::string_view file, size_t limit) {
  const std::string directory = fmt::format("/proc/{}", pid);
  auto text = read_file(fmt::format("{}/{}", directory, file), limit);
  if (!text) return fail(explained(text.error(), directory, fmt::format("no process {}", pid)));
  return text;
}

Result<std::string> read_thread_file(pid_t pid, pid_t tid, std::string_view file) {
  const std::string directory = fmt::format("/proc/{}/task/{}", pid, tid);
  auto text = read_file(fmt::format("{}/{}", directory, file));
  if (!text) {
    return fail(
        explained(text.error(), directory, fmt::format("no thread {} in process {}", tid, pid)));
  }
  return text;
}

std::string_view next_field(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(kBlank), rest.size()));
  const std::string_view field = rest.substr(0, rest.find_first_of(kBlank));
  rest.remove_prefix(field.size());
  return field;
}

std::string_view next_line(std::string_view& rest) {
  const std::string_view line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  return line;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

std::string unescaped_comm(std::string_view text) {
  std::string comm;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 'n' || text[i + 1] == '\\')) {
      ++i;
      comm += text[i] == 'n' ? '\n' : '\\';
    } else {
      comm += text[i];
    }
  }
  return comm;
}

std::string printable(std::string_view text) {
  std::string shown(text);
  std::replace_if(
      shown.begin(), shown.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return shown;
}

}  // namespace time_chaos::targets
