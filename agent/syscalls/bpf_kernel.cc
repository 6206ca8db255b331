#include "agent/syscalls/bpf_kernel.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "agent/base/files.h"
#include "agent/base/scoped_fd.h"
#include "agent/targets/proc_text.h"

namespace time_chaos::syscalls {
namespace {

using Mode = std::optional<std::pair<std::string, std::string>>;  // the mode, and who says so

// A file of debugfs where that is not mounted: through a mount that nobody else sees.
Result<std::string> read_debugfs(const char* path) {
  const ScopedFd context(static_cast<int>(::syscall(SYS_fsopen, "debugfs", FSOPEN_CLOEXEC)));
  if (!context.valid() ||
      ::syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return fail_errno("open debugfs");
  }
  const ScopedFd mount(
      static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY)));
  const ScopedFd file(mount.valid() ? ::openat(mount.get(), path, O_RDONLY | O_CLOEXEC) : -1);
  std::string text(256, '\0');
  const ssize_t size = file.valid() ? ::read(file.get(), text.data(), text.size()) : -1;
  if (size < 0) return fail_errno("read debugfs");
  text.resize(static_cast<size_t>(size));
  return text;
}

Mode mode_in_force() {
  const std::string path = "/sys/kernel/debug/sched/preempt";
  auto text = read_file(path);
  if (!text) text = read_debugfs("sched/preempt");
  if (!text || chosen_mode(*text).empty()) return std::nullopt;
  return std::pair(std::string(chosen_mode(*text)), path);
}

// What the version tells: "#1 SMP PREEMPT_DYNAMIC Debian 6.1.99-1 (2024-07-15)".
Mode mode_in_version(std::string_view version) {
  const std::string source = "uname -v";
  if (version.find("PREEMPT_RT") != std::string_view::npos) return std::pair("full", source);
  if (version.find("PREEMPT_DYNAMIC") != std::string_view::npos) return std::nullopt;
  if (version.find("PREEMPT_LAZY") != std::string_view::npos) return std::pair("lazy", source);
  if (version.find("PREEMPT") != std::string_view::npos) return std::pair("full", source);
  return std::pair("voluntary", source);
}

Mode mode_at_boot() {
  const auto text = read_file("/proc/cmdline");
  if (!text || boot_mode(*text).empty()) return std::nullopt;
  return std::pair(std::string(boot_mode(*text)), "/proc/cmdline");
}

Mode mode_built_in(std::string_view release) {
  const std::string path = fmt::format("/boot/config-{}", release);
  const auto text = read_file(path);
  if (!text) return std::nullopt;
  const auto has = [&](std::string_view option) {
    return text->find(fmt::format("\n{}=y\n", option)) != std::string::npos;
  };
  if (has("CONFIG_PREEMPT")) return std::pair("full", path);
  if (has("CONFIG_PREEMPT_LAZY")) return std::pair("lazy", path);
  if (has("CONFIG_PREEMPT_VOLUNTARY")) return std::pair("voluntary", path);
  if (has("CONFIG_PREEMPT_NONE")) return std::pair("none", path);
  return std::nullopt;
}

}  // namespace

Result<KernelVersion> parse_release(std::string_view release) {
  const size_t dot = release.find('.');
  const size_t end = release.find_first_not_of("0123456789", dot + 1);
  const auto major = targets::to_number<int>(release.substr(0, dot));
  const auto minor = dot == std::string_view::npos
                         ? std::nullopt
                         : targets::to_number<int>(release.substr(dot + 1, end - dot - 1));
  if (!major || !minor) {
    return fail(Exit::kUnsupported, fmt::format("the kernel calls itself \"{}\"", release));
  }
  return KernelVersion{*major, *minor};
}

std::string_view chosen_mode(std::string_view text) {
  const size_t open = text.find('(');
  if (open == std::string_view::npos) return {};
  const size_t close = text.find(')', open);
  if (close == std::string_view::npos) return {};
  return text.substr(open + 1, close - open - 1);
}

std::string_view boot_mode(std::string_view command_line) {
  constexpr std::string_view kOption = "preempt=";
  std::string_view mode;
  while (!command_line.empty()) {
    const size_t end = command_line.find_first_of(" \n");
    const std::string_view word = command_line.substr(0, end);
    if (word.substr(0, kOption.size()) == kOption) mode = word.substr(kOption.size());
    command_line.remove_prefix(end == std::string_view::npos ? command_line.size() : end + 1);
  }
  return mode;
}

Preemption preemption_of(std::string_view mode) {
  if (mode == "none" || mode == "voluntary") return Preemption::kNone;
  if (mode == "lazy" || mode == "full") return Preemption::kPossible;
  return Preemption::kUnknown;
}

Result<KernelFacts> read_kernel_facts() {
  utsname names{};
  if (::uname(&names) != 0) return fail_errno("uname");
  KernelFacts facts;
  TC_TRY(facts.version, parse_release(names.release));
  Mode mode = mode_in_force();
  if (!mode) mode = mode_in_version(names.version);
  if (!mode) mode = mode_at_boot();
  if (!mode) mode = mode_built_in(names.release);
  if (mode) {
    facts.preemption = preemption_of(mode->first);
    facts.preemption_source = fmt::format("{} ({})", mode->first, mode->second);
  }
  return facts;
}

}  // namespace time_chaos::syscalls
