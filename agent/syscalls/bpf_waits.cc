// The programs for waits, and the functions of the kernel that they are attached to. The order
// matters: what puts the caller's memory back is there first and goes last. An agent that ends
// closes them in the order of the list; of one that is killed the kernel releases the file with the
// highest number first (it closes in the order of numbers, and does what that entails, task work,
// backwards).
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <time.h>
#include <waits.skel.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/syscalls/bpf_load.h"
#include "agent/syscalls/bpf_log.h"
#include "agent/syscalls/bpf_sharing.h"
#include "agent/syscalls/kernel_probes.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::syscalls {
namespace {

using Waits = std::unique_ptr<waits_bpf, DestroyBpf>;

constexpr const char* kRemedy = "use --engine-syscalls ptrace";
constexpr KernelVersion kAlways{0, 0};
constexpr KernelVersion kNever{99, 0};
constexpr KernelVersion kAllReturns{6, 16};  // before, a preemptible kernel runs out of instances
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

// What writes down how much is left: of a sleep, of ppoll and pselect6, of a timer. These are
// short, so that hardly two are under way at once.
const Names kWriters = {"nanosleep_copyout", "poll_select_finish", "put_itimerspec64",
                        "put_old_itimerspec32"};
// A call that does so itself, and waits before.
const Names kReceivers = {"__x64_sys_recvmmsg", "__ia32_compat_sys_recvmmsg_time32",
                          "__ia32_compat_sys_recvmmsg_time64"};

enum Lengths : uint32_t { kReal, kMost, kAll };  // waits.bpf.c

template <size_t kSize>
void add(Names& names, const Function (&functions)[kSize], KernelVersion kernel) {
  for (const Function& one : functions) {
    if (kernel >= one.since && kernel < one.until) names.push_back(one.name);
  }
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

// A thread that waits in recvmmsg has an instance of the probe for so long: before there was one
// for each, some such calls would have been real, and others not.
Names writers_of(KernelVersion kernel) {
  Names names = kWriters;
  if (kernel >= kAllReturns) {
    names.insert(names.end(), kReceivers.begin(), kReceivers.end());
  }
  return names;
}

// To each that this kernel has, where it does not have them all. The error: of the first that is
// missing and serves not only 32-bit calls.
Status attach_left(const bpf_program* program, KernelVersion kernel, std::vector<BpfLink>& links) {
  const Names names = writers_of(kernel);
  auto all = attach_to({program, names, true}, kernel);
  if (all) {
    links = std::move(*all);
    return {};
  }
  Status done;
  for (const char* name : names) {
    auto one = attach_to({program, {name}, true}, kernel);
    if (one) {
      links.push_back(
          {fmt::format("{}-{}", bpf_program__name(program), name), std::move(one->front().fd)});
    } else if (done && std::string_view(name).find("32") == std::string_view::npos) {
      done = fail(one.error());
    }
  }
  return done;
}

int64_t nanoseconds(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * TC_NSEC_PER_SEC + now.tv_nsec;
}

Result<Waits> load(const LoadedClocks& clocks, const KernelFacts& kernel, bool with_left) {
  const BpfLog log;
  Waits skeleton = open_sharing<waits_bpf>(clocks);
  if (!skeleton) return refused("open the programs for waits", log, kRemedy);
  bpf_program__set_autoload(skeleton->progs.tchaos_wait_left, with_left);
  if (kernel.version < kMultiProbes) {
    for (bpf_program* program :
         {skeleton->progs.tchaos_wait, skeleton->progs.tchaos_wait_read,
          skeleton->progs.tchaos_timer_read, skeleton->progs.tchaos_wait_left}) {
      bpf_program__set_expected_attach_type(program, {});
    }
  }
  skeleton->bss->tchaos_realtime_ahead = nanoseconds(CLOCK_REALTIME) - nanoseconds(CLOCK_MONOTONIC);
  skeleton->bss->tchaos_tai_ahead = nanoseconds(CLOCK_TAI) - nanoseconds(CLOCK_MONOTONIC);
  if (waits_bpf::load(skeleton.get()) == 0) return skeleton;
  return refused(with_left ? "this kernel refuses the program for what is left of waits"
                           : "this kernel refuses the programs for waits",
                 log, kRemedy);
}

Status keep_program(const bpf_program* program, LoadedClocks& clocks) {
  TC_TRY(ScopedFd fd, above(bpf_program__fd(program), 0));
  clocks.programs.push_back(std::move(fd));
  return {};
}

void keep_links(std::vector<BpfLink> links, KernelVersion kernel, LoadedClocks& clocks) {
  for (BpfLink& link : links) {
    if (kernel >= kLinkedProbes) {
      clocks.links.push_back(std::move(link));
    } else {
      clocks.probes.push_back(std::move(link.fd));
    }
  }
}

// Where lengths are real, so is what is left of them.
Status add_left(const waits_bpf& skeleton, KernelVersion kernel, LoadedClocks& clocks) {
  if (skeleton.bss->tchaos_lengths == kReal) {
    return fail(Exit::kUnsupported, "lengths of time are real on this kernel", kRemedy);
  }
  const bpf_program* program = skeleton.progs.tchaos_wait_left;
  std::vector<BpfLink> links;
  Status done = attach_left(program, kernel, links);
  TC_CHECK(keep_program(program, clocks));
  keep_links(std::move(links), kernel, clocks);
  return done;
}

}  // namespace

Status add_waits(LoadedClocks& clocks, const KernelFacts& kernel) {
  auto skeleton = load(clocks, kernel, true);
  Status left;
  if (!skeleton) {
    left = fail(skeleton.error());
    skeleton = load(clocks, kernel, false);
  }
  if (!skeleton) return fail(skeleton.error());
  const waits_bpf& loaded = **skeleton;
  TC_TRY(std::vector<BpfLink> attached, attach_best(loaded, kernel));
  for (const bpf_program* program :
       {loaded.progs.tchaos_wait, loaded.progs.tchaos_wait_read, loaded.progs.tchaos_timer_read}) {
    TC_CHECK(keep_program(program, clocks));
  }
  keep_links(std::move(attached), kernel.version, clocks);
  TC_TRY(clocks.timers, above(bpf_map__fd(loaded.maps.tchaos_wtimers), 0));
  if (left) left = add_left(loaded, kernel.version, clocks);
  if (!left) clocks.no_left = left.error();
  return {};
}

}  // namespace time_chaos::syscalls
