// The programs for waits until an instant, and the functions of the kernel that they are attached
// to. The order matters: what puts the caller's memory back is there first and goes last, also
// when the agent is killed, whose descriptors the kernel closes in the order of their numbers.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <waits.skel.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "agent/base/files.h"
#include "agent/syscalls/bpf_load.h"
#include "agent/syscalls/bpf_log.h"
#include "agent/syscalls/bpf_sharing.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::syscalls {
namespace {

using Waits = std::unique_ptr<waits_bpf, DestroyBpf>;

constexpr const char* kRemedy = "use --engine-syscalls ptrace";
constexpr KernelVersion kAlways{0, 0};
constexpr KernelVersion kNever{99, 0};
constexpr KernelVersion kMultiProbes{6, 16};   // one link for many functions, on every kernel
constexpr KernelVersion kLinkedProbes{5, 15};  // a link for each
constexpr KernelVersion kFutexv{5, 16};
constexpr KernelVersion kFutex2{6, 7};
constexpr KernelVersion kWholeTimerSet{6, 1};  // before, part of it is inlined

struct Function {
  const char* name;
  KernelVersion since = kAlways;
  KernelVersion until = kNever;
};

// A call is served by a function for 64-bit callers and by one for 32-bit callers.
constexpr Function kNative[] = {
    {"__x64_sys_clock_nanosleep"},      {"__x64_sys_futex"},
    {"__x64_sys_timerfd_settime"},      {"__x64_sys_timer_settime"},
    {"__x64_sys_mq_timedsend"},         {"__x64_sys_mq_timedreceive"},
    {"__x64_sys_futex_waitv", kFutexv}, {"__x64_sys_futex_wait", kFutex2},
};
constexpr Function kIa32[] = {
    {"__ia32_sys_clock_nanosleep_time32"}, {"__ia32_sys_clock_nanosleep"},
    {"__ia32_sys_futex_time32"},           {"__ia32_sys_futex"},
    {"__ia32_sys_timerfd_settime32"},      {"__ia32_sys_timerfd_settime"},
    {"__ia32_sys_timer_settime32"},        {"__ia32_sys_timer_settime"},
    {"__ia32_sys_mq_timedsend_time32"},    {"__ia32_sys_mq_timedsend"},
    {"__ia32_sys_mq_timedreceive_time32"}, {"__ia32_sys_mq_timedreceive"},
    {"__ia32_sys_futex_waitv", kFutexv},   {"__ia32_sys_futex_wait", kFutex2},
};
// What they call next when they have read the caller's memory, before anything blocks.
constexpr Function kRead[] = {
    {"hrtimer_nanosleep"},
    {"alarm_timer_nsleep"},
    {"do_futex"},
    {"do_timerfd_settime"},
    {"do_mq_timedsend"},
    {"do_mq_timedreceive"},
    {"common_timer_set", kAlways, kWholeTimerSet},
    {"do_timer_settime", kWholeTimerSet},
    {"futex_wait_multiple", kFutexv, kFutex2},
    {"futex_parse_waitv", kFutex2},
    {"__futex_wait", kFutex2},
};

using Names = std::vector<const char*>;

template <size_t kSize>
void add(Names& names, const Function (&functions)[kSize], KernelVersion kernel) {
  for (const Function& one : functions) {
    if (kernel >= one.since && kernel < one.until) names.push_back(one.name);
  }
}

Result<ScopedFd> link_to(const bpf_program* program, const Names& functions) {
  bpf_link_create_opts options{};
  options.sz = sizeof options;
  options.kprobe_multi.syms = const_cast<const char**>(functions.data());
  options.kprobe_multi.cnt = static_cast<__u32>(functions.size());
  ScopedFd link(::bpf_link_create(bpf_program__fd(program), 0, BPF_TRACE_KPROBE_MULTI, &options));
  if (link.valid()) return link;
  return fail_errno(fmt::format("attach {} to {}", bpf_program__name(program), functions.front()));
}

// Where there are no links to many functions: an event for each, which ends with what is returned.
Result<ScopedFd> probe(const bpf_program* program, const char* function, uint32_t type,
                       KernelVersion kernel) {
  perf_event_attr event{};
  event.size = sizeof event;
  event.type = type;
  event.kprobe_func = reinterpret_cast<uint64_t>(function);
  ScopedFd fd(
      static_cast<int>(::syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC)));
  const int code = bpf_program__fd(program);
  ScopedFd link;
  if (fd.valid() && kernel >= kLinkedProbes) {
    link.reset(::bpf_link_create(code, fd.get(), BPF_PERF_EVENT, nullptr));
  } else if (fd.valid() && ::ioctl(fd.get(), PERF_EVENT_IOC_SET_BPF, code) != 0) {
    fd.reset();
  }
  const bool linked = kernel < kLinkedProbes || link.valid();
  if (!fd.valid() || !linked || ::ioctl(fd.get(), PERF_EVENT_IOC_ENABLE, 0) != 0) {
    return fail_errno(fmt::format("attach {} to {}", bpf_program__name(program), function));
  }
  if (link.valid()) return link;
  return fd;
}

Result<std::vector<BpfLink>> probe_all(const bpf_program* program, const Names& functions,
                                       KernelVersion kernel) {
  TC_TRY(const std::string type, read_file("/sys/bus/event_source/devices/kprobe/type"));
  std::vector<BpfLink> links;
  for (const char* function : functions) {
    TC_TRY(ScopedFd link,
           probe(program, function, static_cast<uint32_t>(std::strtoul(type.c_str(), nullptr, 10)),
                 kernel));
    links.push_back({fmt::format("{}-{}", bpf_program__name(program), function), std::move(link)});
  }
  return links;
}

Result<ScopedFd> above(int fd, int least) {
  ScopedFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, least + 1));
  if (!copy.valid()) return fail_errno("duplicate a file descriptor");
  return copy;
}

Result<std::vector<BpfLink>> attach_to(const bpf_program* program, const Names& functions,
                                       KernelVersion kernel) {
  if (kernel < kMultiProbes) return probe_all(program, functions, kernel);
  TC_TRY(ScopedFd link, link_to(program, functions));
  std::vector<BpfLink> links;
  links.push_back({bpf_program__name(program), std::move(link)});
  return links;
}

Result<std::vector<BpfLink>> attach(const waits_bpf& skeleton, KernelVersion kernel, bool ia32) {
  Names calls;
  Names read;
  add(calls, kNative, kernel);
  if (ia32) add(calls, kIa32, kernel);
  add(read, kRead, kernel);
  TC_TRY(auto last, attach_to(skeleton.progs.tchaos_wait_read, read, kernel));
  const std::unique_ptr<bpf_link, DestroyBpf> end(
      bpf_program__attach(skeleton.progs.tchaos_wait_end));
  if (!end) return fail_errno("attach tchaos_wait_end");
  TC_TRY(auto links, attach_to(skeleton.progs.tchaos_wait, calls, kernel));
  const int highest = links.back().fd.get();
  TC_TRY(ScopedFd end_last, above(bpf_link__fd(end.get()), highest));
  links.push_back({"tchaos_wait_end", std::move(end_last)});
  for (const BpfLink& one : last) {
    TC_TRY(ScopedFd copy, above(one.fd.get(), highest));
    links.push_back({one.program, std::move(copy)});
  }
  return links;
}

int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * TC_NSEC_PER_SEC + now.tv_nsec;
}

}  // namespace

Status add_waits(LoadedClocks& clocks, KernelVersion kernel) {
  const BpfLog log;
  const auto skeleton = open_sharing<waits_bpf>(clocks);
  if (!skeleton) return refused("open the programs for waits", log, kRemedy);
  if (kernel < kMultiProbes) {
    bpf_program__set_expected_attach_type(skeleton->progs.tchaos_wait, {});
    bpf_program__set_expected_attach_type(skeleton->progs.tchaos_wait_read, {});
  }
  skeleton->bss->tchaos_realtime_ahead = nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_MONOTONIC);
  skeleton->bss->tchaos_tai_ahead = nanoseconds(CLOCK_TAI) - nanoseconds(CLOCK_MONOTONIC);
  if (waits_bpf::load(skeleton.get()) != 0) {
    return refused("this kernel refuses the programs for waits", log, kRemedy);
  }
  auto attached = attach(*skeleton, kernel, true);
  if (!attached) attached = attach(*skeleton, kernel, false);  // a kernel without 32-bit calls
  if (!attached) return fail(attached.error());
  for (const bpf_program* program :
       {skeleton->progs.tchaos_wait, skeleton->progs.tchaos_wait_read}) {
    TC_TRY(ScopedFd fd, above(bpf_program__fd(program), 0));
    clocks.programs.push_back(std::move(fd));
  }
  for (BpfLink& link : *attached) {
    if (kernel >= kLinkedProbes) {
      clocks.links.push_back(std::move(link));
    } else {
      clocks.probes.push_back(std::move(link.fd));
    }
  }
  return {};
}

}  // namespace time_chaos::syscalls
