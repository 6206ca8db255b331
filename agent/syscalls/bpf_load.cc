#include "agent/syscalls/bpf_load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <clocks.skel.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <memory>
#include <span>
#include <string_view>

#include "agent/syscalls/bpf_log.h"
#include "agent/targets/namespaces.h"
#include "agent/targets/process.h"
#include "time_chaos/abi/bpf_state.h"

namespace time_chaos::syscalls {
namespace {

struct DestroyClocks {
  void operator()(clocks_bpf* skeleton) const { clocks_bpf::destroy(skeleton); }
};
using Clocks = std::unique_ptr<clocks_bpf, DestroyClocks>;

struct DestroyLink {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Link = std::unique_ptr<bpf_link, DestroyLink>;

// The native entries first; `kNative` of them.
constexpr size_t kNative = 5;
constexpr const char* kCalls[] = {"__x64_sys_clock_gettime",    "__x64_sys_gettimeofday",
                                  "__x64_sys_adjtimex",         "__x64_sys_clock_adjtime",
                                  "__x64_sys_sysinfo",          "__ia32_sys_clock_gettime32",
                                  "__ia32_sys_clock_gettime",   "__ia32_compat_sys_gettimeofday",
                                  "__ia32_sys_adjtimex_time32", "__ia32_sys_clock_adjtime32",
                                  "__ia32_sys_clock_adjtime",   "__ia32_compat_sys_sysinfo"};
constexpr const char* kFork[] = {"wake_up_new_task"};
constexpr const char* kExec[] = {"finalize_exec"};
constexpr const char* kEnd[] = {"exit_files"};  // of do_exit(), when the thread is counted out

bool begins(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool ends(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

bool wanted(std::string_view program, const Hooks& hooks) {
  if (ends(program, "_tp")) return !hooks.probes;
  if (ends(program, "_kp")) return hooks.probes;
  if (program == "tchaos_return") return hooks.exit == ExitHook::kReturnProbe;
  if (program == "tchaos_sysexit") return hooks.exit == ExitHook::kTracepoint;
  if (hooks.exit != ExitHook::kFunctionExit) return false;
  return begins(program, "tchaos_x_") || hooks.ia32;
}

Result<ScopedFd> duplicate(int fd) {
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return fail_errno("duplicate a file descriptor");
  return ScopedFd(copy);
}

// libbpf's errors are negative errno values, returned or left in errno.
Error failure(int error, const std::string& what, const BpfLog& log) {
  const std::string said = telling_line(log.text());
  // "unknown func", "cannot use helper": it does not exist under lockdown.
  if (said.find("bpf_probe_write_user") != std::string::npos) {
    return Error(Exit::kNotPermitted,
                 "the kernel refuses BPF to write user memory, as it does under lockdown",
                 "boot without lockdown (Secure Boot switches it on)");
  }
  return Error::from_errno(error < 0 ? -error : error,
                           said.empty() ? what : fmt::format("{}: {}", what, said));
}

// Given its functions by name, the kernel looks them up itself; libbpf would read all of
// /proc/kallsyms.
Link attach_probe(bpf_program* program, std::span<const char* const> functions, bool at_return) {
  std::vector<const char*> names(functions.begin(), functions.end());
  bpf_kprobe_multi_opts options{};
  options.sz = sizeof options;
  options.syms = names.data();
  options.cnt = names.size();
  options.retprobe = at_return;
  return Link(bpf_program__attach_kprobe_multi_opts(program, nullptr, &options));
}

Link attach(bpf_program* program, std::string_view name, const Hooks& hooks) {
  if (name == "tchaos_return") {
    const std::span calls(kCalls);
    return attach_probe(program, hooks.ia32 ? calls : calls.first(kNative), true);
  }
  if (name == "tchaos_fork_kp") return attach_probe(program, kFork, false);
  if (name == "tchaos_exec_kp") return attach_probe(program, kExec, false);
  if (name == "tchaos_end_kp") return attach_probe(program, kEnd, false);
  return Link(bpf_program__attach(program));
}

Status attach_all(const Clocks& skeleton, const Hooks& hooks, const BpfLog& log,
                  LoadedClocks& loaded) {
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    if (!bpf_program__autoload(program)) continue;
    const std::string name = bpf_program__name(program);
    const Link link = attach(program, name, hooks);
    if (!link) return fail(failure(errno, "attach " + name, log));
    TC_TRY(ScopedFd link_fd, duplicate(bpf_link__fd(link.get())));
    TC_TRY(ScopedFd program_fd, duplicate(bpf_program__fd(program)));
    loaded.links.push_back({name, std::move(link_fd)});
    loaded.programs.push_back(std::move(program_fd));
  }
  return {};
}

}  // namespace

Result<LoadedClocks> load_clocks(const Hooks& hooks, uint32_t pages) {
  const BpfLog log;
  const Clocks skeleton(clocks_bpf::open());
  if (!skeleton) return fail(failure(errno, "open the BPF programs", log));
  bpf_map__set_max_entries(skeleton->maps.tchaos_pages, pages);
  const int processors = ::libbpf_num_possible_cpus();
  if (processors <= 0) return fail(Exit::kFailed, "the number of processors is not known");
  bpf_map__set_max_entries(skeleton->maps.tchaos_counts,
                           static_cast<uint32_t>(processors) * pages * TC_BPF_ROWS);
  skeleton->rodata->tchaos_page_count = pages;
  const bool knows_cgroups =
      ::libbpf_probe_bpf_helper(BPF_PROG_TYPE_RAW_TRACEPOINT,
                                BPF_FUNC_get_current_ancestor_cgroup_id, nullptr) == 1;
  skeleton->rodata->tchaos_knows_cgroups = knows_cgroups;
  TC_TRY(const uint64_t pid_namespace, targets::namespace_inode("self", "pid"));
  if (pid_namespace != targets::kInitialPidNamespace) {
    skeleton->rodata->tchaos_pid_namespace = static_cast<__u32>(pid_namespace);
  }
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, skeleton->obj) {
    bpf_program__set_autoload(program, wanted(bpf_program__name(program), hooks));
  }
  if (const int error = clocks_bpf::load(skeleton.get()); error != 0) {
    return fail(failure(error, "load the BPF programs", log));
  }
  LoadedClocks loaded;
  loaded.page_count = pages;
  loaded.knows_cgroups = knows_cgroups;
  TC_TRY(loaded.targets, duplicate(bpf_map__fd(skeleton->maps.tchaos_targets)));
  TC_TRY(loaded.pages, duplicate(bpf_map__fd(skeleton->maps.tchaos_pages)));
  TC_TRY(loaded.cgroups, duplicate(bpf_map__fd(skeleton->maps.tchaos_cgroups)));
  TC_TRY(loaded.names, duplicate(bpf_map__fd(skeleton->maps.tchaos_names)));
  TC_TRY(loaded.counts, duplicate(bpf_map__fd(skeleton->maps.tchaos_counts)));
  TC_CHECK(attach_all(skeleton, hooks, log, loaded));
  return loaded;
}

}  // namespace time_chaos::syscalls
