#include "agent/targets/machine.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "agent/base/files.h"
#include "agent/targets/namespaces.h"
#include "agent/targets/proc_text.h"
#include "agent/targets/process.h"

namespace time_chaos::targets {
namespace {

constexpr const char* kSecurityFs = "/sys/kernel/security";

// Without Yama the file does not exist.
Result<std::optional<int>> read_yama_scope() {
  const auto text = read_file("/proc/sys/kernel/yama/ptrace_scope");
  if (!text) {
    if (text.error().error_number() == ENOENT) return std::optional<int>();
    return fail(text.error());
  }
  const auto scope = to_number<int>(trimmed(*text));
  if (!scope) return fail(Exit::kFailed, "kernel.yama.ptrace_scope is \"" + *text + "\"");
  return scope;
}

Lockdown read_lockdown() {
  const auto text = read_file(std::string(kSecurityFs) + "/lockdown");
  if (text) return parse_lockdown(*text);
  // No file means no lockdown only where securityfs is mounted; containers often lack it.
  struct statfs facts {};
  const bool mounted = ::statfs(kSecurityFs, &facts) == 0 && facts.f_type == SECURITYFS_MAGIC;
  const bool missing = text.error().error_number() == ENOENT;
  return mounted && missing ? Lockdown::kAbsent : Lockdown::kUnknown;
}

Result<bool> proc_matches() {
  std::string link(32, '\0');  // a pid in decimal
  const ssize_t length = ::readlink("/proc/self", link.data(), link.size());
  if (length < 0) {
    return fail(Error::from_errno(errno, "read /proc/self").with_remedy("mount /proc"));
  }
  link.resize(static_cast<size_t>(length));
  return to_number<pid_t>(link) == ::getpid();
}

}  // namespace

Lockdown parse_lockdown(std::string_view text) {
  const size_t open = text.find('[');
  const size_t close = text.find(']', open == std::string_view::npos ? 0 : open);
  if (open == std::string_view::npos || close == std::string_view::npos) return Lockdown::kUnknown;
  const std::string_view chosen = text.substr(open + 1, close - open - 1);
  for (const auto mode : {Lockdown::kNone, Lockdown::kIntegrity, Lockdown::kConfidentiality}) {
    if (chosen == name(mode)) return mode;
  }
  return Lockdown::kUnknown;
}

std::string_view name(Lockdown lockdown) {
  switch (lockdown) {
    case Lockdown::kAbsent:
      return "absent";
    case Lockdown::kNone:
      return "none";
    case Lockdown::kIntegrity:
      return "integrity";
    case Lockdown::kConfidentiality:
      return "confidentiality";
    case Lockdown::kUnknown:
      break;
  }
  return "unknown";
}

Result<Machine> read_machine() {
  Machine machine;
  utsname kernel{};
  if (::uname(&kernel) != 0) return fail_errno("uname");
  machine.kernel_release = kernel.release;
  machine.architecture = kernel.machine;

  TC_TRY(machine.proc_matches, proc_matches());
  TC_TRY(const std::string status_text, read_file("/proc/self/status"));
  TC_TRY(const ProcStatus status, parse_status(status_text));
  machine.effective_capabilities = status.effective_capabilities;
  machine.uid = status.uid;
  machine.seccomp_mode = status.seccomp_mode;

  TC_TRY(machine.yama_scope, read_yama_scope());
  machine.lockdown = read_lockdown();
  machine.btf = ::access("/sys/kernel/btf/vmlinux", R_OK) == 0;
  machine.vdso = ::getauxval(AT_SYSINFO_EHDR) != 0;
  TC_TRY(const uint64_t pid_namespace, namespace_inode("self", "pid"));
  TC_TRY(const uint64_t user_namespace, namespace_inode("self", "user"));
  machine.initial_pid_namespace = pid_namespace == kInitialPidNamespace;
  machine.initial_user_namespace = user_namespace == kInitialUserNamespace;
  return machine;
}

}  // namespace time_chaos::targets
