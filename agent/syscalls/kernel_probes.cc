#include "agent/syscalls/kernel_probes.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "agent/base/files.h"

namespace time_chaos::syscalls {
namespace {

Result<ScopedFd> link_to(const Probe& probe) {
  std::vector<const char*> functions = probe.functions;
  bpf_link_create_opts options{};
  options.sz = sizeof options;
  options.kprobe_multi.flags = probe.at_return ? BPF_F_KPROBE_MULTI_RETURN : 0;
  options.kprobe_multi.syms = functions.data();
  options.kprobe_multi.cnt = static_cast<__u32>(functions.size());
  ScopedFd link(
      ::bpf_link_create(bpf_program__fd(probe.program), 0, BPF_TRACE_KPROBE_MULTI, &options));
  if (link.valid()) return link;
  return fail_errno(
      fmt::format("attach {} to {}", bpf_program__name(probe.program), functions.front()));
}

// Where there are no links to many functions: an event for each, which ends with what is returned.
struct Pmu {
  uint32_t type = 0;
  uint64_t at_return = 0;  // the bit of a configuration
};

Result<Pmu> kprobe_pmu() {
  const std::string pmu = "/sys/bus/event_source/devices/kprobe";
  TC_TRY(const std::string type, read_file(pmu + "/type"));
  TC_TRY(const std::string bit, read_file(pmu + "/format/retprobe"));  // "config:0"
  const size_t colon = bit.find(':');
  if (colon == std::string::npos) {
    return fail(Exit::kUnsupported, "this kernel has no return probes",
                "use --engine-syscalls ptrace");
  }
  return Pmu{static_cast<uint32_t>(std::strtoul(type.c_str(), nullptr, 10)),
             uint64_t{1} << std::strtoul(bit.c_str() + colon + 1, nullptr, 10)};
}

Result<ScopedFd> probe_one(const Probe& probe, const char* function, const Pmu& pmu,
                           KernelVersion kernel) {
  perf_event_attr event{};
  event.size = sizeof event;
  event.type = pmu.type;
  event.config = probe.at_return ? pmu.at_return : 0;
  event.kprobe_func = reinterpret_cast<uint64_t>(function);
  ScopedFd fd(
      static_cast<int>(::syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC)));
  const int code = bpf_program__fd(probe.program);
  ScopedFd link;
  if (fd.valid() && kernel >= kLinkedProbes) {
    link.reset(::bpf_link_create(code, fd.get(), BPF_PERF_EVENT, nullptr));
  } else if (fd.valid() && ::ioctl(fd.get(), PERF_EVENT_IOC_SET_BPF, code) != 0) {
    fd.reset();
  }
  const bool linked = kernel < kLinkedProbes || link.valid();
  if (!fd.valid() || !linked || ::ioctl(fd.get(), PERF_EVENT_IOC_ENABLE, 0) != 0) {
    return fail_errno(fmt::format("attach {} to {}", bpf_program__name(probe.program), function));
  }
  if (link.valid()) return link;
  return fd;
}

}  // namespace

Result<std::vector<BpfLink>> attach_to(const Probe& probe, KernelVersion kernel) {
  std::vector<BpfLink> links;
  if (kernel >= kMultiProbes) {
    TC_TRY(ScopedFd link, link_to(probe));
    links.push_back({bpf_program__name(probe.program), std::move(link)});
    return links;
  }
  TC_TRY(const Pmu pmu, kprobe_pmu());
  for (const char* function : probe.functions) {
    TC_TRY(ScopedFd link, probe_one(probe, function, pmu, kernel));
    links.push_back(
        {fmt::format("{}-{}", bpf_program__name(probe.program), function), std::move(link)});
  }
  return links;
}

Result<ScopedFd> above(int fd, int least) {
  ScopedFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, least + 1));
  if (!copy.valid()) return fail_errno("duplicate a file descriptor");
  return copy;
}

}  // namespace time_chaos::syscalls
