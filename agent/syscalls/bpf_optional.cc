// Programs in objects of their own, because one that a kernel refuses fails its whole object: those
// for time(2), which most kernels refuse, and those that keep targets from setting the clock.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <guard.skel.h>
#include <time.skel.h>

#include <cerrno>
#include <memory>
#include <string_view>

#include "agent/syscalls/bpf_load.h"
#include "agent/syscalls/bpf_log.h"
#include "agent/syscalls/bpf_sharing.h"

namespace time_chaos::syscalls {
namespace {

constexpr const char* kTimeRemedy = "use Linux 7.1 or later, or --engine-syscalls ptrace";
constexpr const char* kGuardRemedy = "run the target without CAP_SYS_TIME";

// Finds the kernel's clock data by its name.
Status find_time_data(const time_bpf& skeleton, const BpfLog& log) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  const int program = bpf_program__fd(skeleton.progs.tchaos_find);
  if (::bpf_prog_test_run_opts(program, &options) != 0 || options.retval != 0) {
    return refused("the kernel's clock data were not found", log, kTimeRemedy);
  }
  return {};
}

Result<std::unique_ptr<bpf_link, DestroyBpf>> attach(bpf_program* program, const BpfLog& log,
                                                     const char* remedy) {
  std::unique_ptr<bpf_link, DestroyBpf> link(bpf_program__attach(program));
  if (link) return link;
  return refused(fmt::format("attach {}", bpf_program__name(program)).c_str(), log, remedy);
}

Status keep(const bpf_program* program, const bpf_link* link, LoadedClocks& clocks) {
  ScopedFd link_fd(::fcntl(bpf_link__fd(link), F_DUPFD_CLOEXEC, 0));
  ScopedFd program_fd(::fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0));
  if (!link_fd.valid() || !program_fd.valid()) return fail_errno("duplicate a file descriptor");
  clocks.links.push_back({bpf_program__name(program), std::move(link_fd)});
  clocks.programs.push_back(std::move(program_fd));
  return {};
}

// All of them but `other`, or none.
Status attach_all(bpf_object* object, const bpf_program* other, const BpfLog& log,
                  const char* remedy, LoadedClocks& clocks) {
  std::vector<std::pair<bpf_program*, std::unique_ptr<bpf_link, DestroyBpf>>> attached;
  bpf_program* program = nullptr;
  bpf_object__for_each_program(program, object) {
    if (program == other) continue;
    TC_TRY(auto link, attach(program, log, remedy));
    attached.emplace_back(program, std::move(link));
  }
  for (const auto& [done, link] : attached) TC_CHECK(keep(done, link.get(), clocks));
  return {};
}

}  // namespace

Status add_time(LoadedClocks& clocks) {
  const BpfLog log;
  const auto skeleton = open_sharing<time_bpf>(clocks);
  if (!skeleton) return refused("open the program for time(2)", log, kTimeRemedy);
  if (time_bpf::load(skeleton.get()) != 0) {
    return refused("this kernel lets no program stand in for time(2)", log, kTimeRemedy);
  }
  TC_CHECK(find_time_data(*skeleton, log));
  return attach_all(skeleton->obj, skeleton->progs.tchaos_find, log, kTimeRemedy, clocks);
}

Status add_guard(LoadedClocks& clocks) {
  const BpfLog log;
  const auto skeleton = open_sharing<guard_bpf>(clocks);
  if (!skeleton) return refused("open the programs of the guard", log, kGuardRemedy);
  if (guard_bpf::load(skeleton.get()) != 0) {
    return refused("this kernel lets no program refuse a permission", log, kGuardRemedy);
  }
  return attach_all(skeleton->obj, nullptr, log, kGuardRemedy, clocks);
}

}  // namespace time_chaos::syscalls
