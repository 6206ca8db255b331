// The programs for waits, and the functions of the kernel that they are attached to. The order
// matters: what puts the caller's memory back is there first and goes last. An agent that ends
// closes them in the order of the list; of one that is killed the kernel releases the file with the
// highest number first (it closes in the order of numbers, and does what that entails, task work,
// backwards).
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

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <optional>
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
constexpr KernelVersion kMultiProbes{6, 12};   // one link for many functions
constexpr KernelVersion kLinkedProbes{5, 15};  // a link for each
constexpr KernelVersion kAllReturns{6, 16};    // before, a preemptible kernel runs out of instances
constexpr KernelVersion kFutexv{5, 16};
constexpr KernelVersion kFutex2{6, 7};

struct Function {
  const char* name;
  KernelVersion since = kAlways;
  KernelVersion until = kNever;
};

using Names = std::vector<const char*>;

// By which all calls read the caller's memory: an instant or a length, and a timer's setting.
const Names kReaders = {"get_timespec64", "get_old_timespec32"};
const Names kTimerReaders = {"get_itimerspec64", "get_old_itimerspec32"};

// What the calls call next when they have read it, before anything blocks: where the return of the
// readers may be lost.
constexpr Function kNext[] = {
    {"hrtimer_nanosleep"},
    {"alarm_timer_nsleep"},
    {"do_futex"},
    {"do_timerfd_settime"},
    {"do_timer_settime"},
    {"do_mq_timedsend"},
    {"do_mq_timedreceive"},
    {"futex_wait_multiple", kFutexv, kFutex2},
    {"futex_parse_waitv", kFutex2},
    {"__futex_wait", kFutex2},
};
// Of those that wait for a length; after rt_sigtimedwait's own there is none that has one name.
constexpr Function kNextOfLengths[] = {
    {"set_user_sigmask"},  // of ppoll, pselect6 and epoll_pwait2, also where these fail
    {"__do_semtimedop"},
    {"do_recvmmsg"},
    {"do_io_getevents"},
};

enum Lengths : uint32_t { kReal, kMost, kAll };  // waits.bpf.c

template <size_t kSize>
void add(Names& names, const Function (&functions)[kSize], KernelVersion kernel) {
  for (const Function& one : functions) {
    if (kernel >= one.since && kernel < one.until) names.push_back(one.name);
  }
}

struct Probe {
  const bpf_program* program;
  Names functions;
  bool at_return = false;
};

Result<ScopedFd> link_to(const Probe& probe) {
  Names functions = probe.functions;
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
    return fail(Exit::kUnsupported, "this kernel has no return probes", kRemedy);
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

Names first(const Names& names, bool ia32) {
  return ia32 ? names : Names{names.front()};
}

struct Choice {
  bool ia32 = true;  // a kernel without 32-bit calls has no such functions
  Lengths lengths = kAll;
  bool returns = true;
};

// What puts the caller's memory back.
std::vector<Probe> last_probes(const waits_bpf& skeleton, KernelVersion kernel,
                               const Choice& choice) {
  if (choice.returns) {
    return {{skeleton.progs.tchaos_wait_read, first(kReaders, choice.ia32), true},
            {skeleton.progs.tchaos_timer_read, first(kTimerReaders, choice.ia32), true}};
  }
  Names next;
  add(next, kNext, kernel);
  if (choice.lengths != kReal) {
    add(next, kNextOfLengths, kernel);
    if (choice.ia32) next.push_back("set_compat_user_sigmask");
  }
  return {{skeleton.progs.tchaos_timer_read, next}};
}

Result<std::vector<BpfLink>> attach(const waits_bpf& skeleton, KernelVersion kernel,
                                    const Choice& choice) {
  std::vector<BpfLink> last;
  for (const Probe& probe : last_probes(skeleton, kernel, choice)) {
    TC_TRY(std::vector<BpfLink> links, attach_to(probe, kernel));
    std::move(links.begin(), links.end(), std::back_inserter(last));
  }
  const std::unique_ptr<bpf_link, DestroyBpf> end(
      bpf_program__attach(skeleton.progs.tchaos_wait_end));
  if (!end) return fail_errno("attach tchaos_wait_end");
  Names readers = first(kReaders, choice.ia32);
  for (const char* reader : first(kTimerReaders, choice.ia32)) readers.push_back(reader);
  TC_TRY(const auto begin, attach_to({skeleton.progs.tchaos_wait, readers}, kernel));
  TC_TRY(ScopedFd end_fd, above(bpf_link__fd(end.get()), 0));
  last.push_back({"tchaos_wait_end", std::move(end_fd)});
  int highest = 0;
  for (const BpfLink& one : last) highest = std::max(highest, one.fd.get());
  std::vector<BpfLink> links;
  for (const BpfLink& one : begin) {
    TC_TRY(ScopedFd copy, above(one.fd.get(), highest));
    links.push_back({one.program, std::move(copy)});
  }
  std::move(last.begin(), last.end(), std::back_inserter(links));
  return links;
}

// The best that this kernel takes.
Result<std::vector<BpfLink>> attach_best(const waits_bpf& skeleton, const KernelFacts& kernel) {
  const bool returns = kernel.version >= kAllReturns || kernel.preemption == Preemption::kNone;
  const Lengths most = returns ? kAll : kMost;
  std::optional<Error> why;
  for (const Choice& choice : {Choice{true, most, returns}, Choice{false, most, returns},
                               Choice{true, kReal, returns}, Choice{false, kReal, returns}}) {
    if (choice.lengths == kReal && returns) break;  // it would meet the same again
    auto links = attach(skeleton, kernel.version, choice);
    if (links) {
      skeleton.bss->tchaos_lengths = choice.lengths;
      return links;
    }
    if (!why) why = links.error();
  }
  return fail(*why);
}

int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * TC_NSEC_PER_SEC + now.tv_nsec;
}

}  // namespace

Status add_waits(LoadedClocks& clocks, const KernelFacts& kernel) {
  const BpfLog log;
  const auto skeleton = open_sharing<waits_bpf>(clocks);
  if (!skeleton) return refused("open the programs for waits", log, kRemedy);
  const auto probes = {skeleton->progs.tchaos_wait, skeleton->progs.tchaos_wait_read,
                       skeleton->progs.tchaos_timer_read};
  if (kernel.version < kMultiProbes) {
    for (bpf_program* program : probes) bpf_program__set_expected_attach_type(program, {});
  }
  skeleton->bss->tchaos_realtime_ahead = nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_MONOTONIC);
  skeleton->bss->tchaos_tai_ahead = nanoseconds(CLOCK_TAI) - nanoseconds(CLOCK_MONOTONIC);
  if (waits_bpf::load(skeleton.get()) != 0) {
    return refused("this kernel refuses the programs for waits", log, kRemedy);
  }
  ScopedFd timers(::fcntl(bpf_map__fd(skeleton->maps.tchaos_wtimers), F_DUPFD_CLOEXEC, 0));
  if (!timers.valid()) return fail_errno("duplicate a file descriptor");
  TC_TRY(std::vector<BpfLink> attached, attach_best(*skeleton, kernel));
  for (const bpf_program* program : probes) {
    TC_TRY(ScopedFd fd, above(bpf_program__fd(program), 0));
    clocks.programs.push_back(std::move(fd));
  }
  clocks.timers = std::move(timers);
  for (BpfLink& link : attached) {
    if (kernel.version >= kLinkedProbes) {
      clocks.links.push_back(std::move(link));
    } else {
      clocks.probes.push_back(std::move(link.fd));
    }
  }
  return {};
}

}  // namespace time_chaos::syscalls
