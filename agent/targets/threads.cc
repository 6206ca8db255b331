// Which processes and threads there are, and where a thread sleeps. The lists are a moment's view:
// whoever needs all threads has to ask again until nothing new appears.
#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>

#include "agent/targets/proc_text.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// The entries of a directory of /proc whose names are numbers, ascending.
std::vector<pid_t> numbered_entries(const std::string& path) {
  std::vector<pid_t> numbers;
  const std::unique_ptr<DIR, CloseDirectory> directory(::opendir(path.c_str()));
  if (!directory) return numbers;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this function's own
  while (const dirent* entry = ::readdir(directory.get())) {
    if (const auto number = to_number<pid_t>(entry->d_name); number && *number > 0) {
      numbers.push_back(*number);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::optional<uint64_t> hexadecimal(std::string_view field) {
  if (field.substr(0, 2) != "0x") return std::nullopt;
  return to_number<uint64_t>(field.substr(2), 16);
}

}  // namespace

std::vector<pid_t> list_threads(pid_t pid) {
  return numbered_entries(fmt::format("/proc/{}/task", pid));
}

std::vector<pid_t> list_processes() {
  return numbered_entries("/proc");
}

// "running", "-1 SP PC" or "NUMBER ARG*6 SP PC", all but NUMBER in hexadecimal
// (proc_pid_syscall, fs/proc/base.c).
Result<ThreadSyscall> parse_thread_syscall(std::string_view text) {
  const auto malformed = [&] {
    return fail(Exit::kFailed,
                "thread syscall: unexpected text \"" + std::string(text.substr(0, 60)) + "\"");
  };
  ThreadSyscall result;
  std::string_view rest = trimmed(text);
  if (rest == "running") {
    result.running = true;
    return result;
  }
  const auto number = to_number<int64_t>(next_field(rest));
  if (!number) return malformed();
  result.number = *number;
  std::vector<uint64_t*> places;
  if (*number >= 0) {
    for (uint64_t& argument : result.arguments) places.push_back(&argument);
  }
  places.push_back(&result.stack_pointer);
  places.push_back(&result.instruction_pointer);
  for (uint64_t* place : places) {
    const auto value = hexadecimal(next_field(rest));
    if (!value) return malformed();
    *place = *value;
  }
  if (!rest.empty()) return malformed();
  return result;
}

Result<ThreadSyscall> read_thread_syscall(pid_t pid, pid_t tid) {
  TC_TRY(const std::string text, read_thread_file(pid, tid, "syscall"));
  return parse_thread_syscall(text);
}

std::string read_thread_wchan(pid_t pid, pid_t tid) {
  return read_thread_file(pid, tid, "wchan").value_or("");
}

std::optional<uint64_t> read_run_time(pid_t pid, pid_t tid) {
  const auto text = read_thread_file(pid, tid, "schedstat");
  if (!text) return std::nullopt;
  uint64_t run_time = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), run_time);
  if (error != std::errc() || end == text->data()) return std::nullopt;
  return run_time;
}

}  // namespace time_chaos::targets
