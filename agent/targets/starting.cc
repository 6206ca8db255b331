#include "agent/targets/starting.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "agent/targets/proc_text.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

constexpr std::string_view kRuntimes[] = {"runc", "crun", "youki"};
constexpr size_t kMostArguments = 4096;

bool is_runtime(std::string_view name) {
  return std::find(std::begin(kRuntimes), std::end(kRuntimes), name) != std::end(kRuntimes);
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

// "/usr/sbin/runc", "/memfd:runc_cloned:/proc/self/exe (deleted)", "/runc" of a sealed overlay.
bool is_runtime_file(std::string_view executable) {
  constexpr std::string_view kDeleted = " (deleted)";
  if (executable.ends_with(kDeleted)) executable.remove_suffix(kDeleted.size());
  for (const std::string_view runtime : kRuntimes) {
    if (executable.starts_with(fmt::format("/memfd:{}", runtime))) return true;
  }
  return is_runtime(base_name(executable));
}

bool is_init_command(std::string_view arguments) {
  const size_t first = arguments.find('\0');
  if (first == std::string_view::npos || !is_runtime(base_name(arguments.substr(0, first)))) {
    return false;
  }
  const std::string_view second = arguments.substr(first + 1);
  return second.substr(0, second.find('\0')) == "init";
}

}  // namespace

bool is_container_init(const ProgramFacts& facts) {
  for (const std::string_view runtime : kRuntimes) {
    if (facts.comm.starts_with(fmt::format("{}:[", runtime))) return true;
  }
  return is_runtime_file(facts.executable) || is_init_command(facts.arguments);
}

bool is_container_init(pid_t pid) {
  ProgramFacts facts;
  if (const auto stat = read_stat(pid)) facts.comm = stat->name;
  std::error_code error;  // not permitted, or ended
  facts.executable = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), error);
  if (auto text = read_process_file(pid, "cmdline", kMostArguments)) {
    facts.arguments = std::move(*text);
  }
  return is_container_init(facts);
}

}  // namespace time_chaos::targets
