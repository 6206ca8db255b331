// time(2): an object of its own, because most kernels refuse it.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <time.skel.h>

#include <cerrno>
#include <memory>

#include "agent/syscalls/bpf_load.h"
#include "agent/syscalls/bpf_log.h"

namespace time_chaos::syscalls {
namespace {

struct Destroy {
  void operator()(time_bpf* skeleton) const { time_bpf::destroy(skeleton); }
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

tl::unexpected<Error> refused(const char* what, const BpfLog& log) {
  return fail(Exit::kUnsupported, fmt::format("{}: {}", what, telling_line(log.text())),
              "use Linux 7.1 or later, or --engine-syscalls ptrace");
}

// Finds the kernel's clock data by its name.
Status find_time_data(const time_bpf& skeleton, const BpfLog& log) {
  bpf_test_run_opts options{};
  options.sz = sizeof options;
  const int program = bpf_program__fd(skeleton.progs.tchaos_find);
  if (::bpf_prog_test_run_opts(program, &options) != 0 || options.retval != 0) {
    return refused("the kernel's clock data were not found", log);
  }
  return {};
}

Status attach(bpf_program* program, const BpfLog& log, LoadedClocks& clocks) {
  const std::unique_ptr<bpf_link, Destroy> link(bpf_program__attach(program));
  if (!link) return refused("attach to time(2)", log);
  ScopedFd link_fd(::fcntl(bpf_link__fd(link.get()), F_DUPFD_CLOEXEC, 0));
  ScopedFd program_fd(::fcntl(bpf_program__fd(program), F_DUPFD_CLOEXEC, 0));
  if (!link_fd.valid() || !program_fd.valid()) return fail_errno("duplicate a file descriptor");
  clocks.links.push_back({bpf_program__name(program), std::move(link_fd)});
  clocks.programs.push_back(std::move(program_fd));
  return {};
}

}  // namespace

Status add_time(LoadedClocks& clocks) {
  const BpfLog log;
  const std::unique_ptr<time_bpf, Destroy> skeleton(time_bpf::open());
  if (!skeleton) return refused("open the program for time(2)", log);
  if (::bpf_map__reuse_fd(skeleton->maps.tchaos_targets, clocks.targets.get()) != 0 ||
      ::bpf_map__reuse_fd(skeleton->maps.tchaos_pages, clocks.pages.get()) != 0 ||
      ::bpf_map__reuse_fd(skeleton->maps.tchaos_counts, clocks.counts.get()) != 0) {
    return refused("share the maps with the program for time(2)", log);
  }
  skeleton->rodata->tchaos_page_count = clocks.page_count;
  if (time_bpf::load(skeleton.get()) != 0) {
    return refused("this kernel lets no program stand in for time(2)", log);
  }
  TC_CHECK(find_time_data(*skeleton, log));
  bpf_program* program = nullptr;
  while ((program = bpf_object__next_program(skeleton->obj, program)) != nullptr) {
    if (program == skeleton->progs.tchaos_find) continue;
    TC_CHECK(attach(program, log, clocks));
  }
  return {};
}

}  // namespace time_chaos::syscalls
