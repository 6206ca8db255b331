#include "agent/syscalls/bpf_processes.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <processes.skel.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "agent/base/scoped_fd.h"
#include "agent/syscalls/bpf_log.h"
#include "agent/targets/namespaces.h"
#include "agent/targets/process.h"

namespace time_chaos::syscalls {
namespace {

constexpr uint64_t kInitialTimeNamespace = 0xEFFFFFFA;  // PROC_TIME_INIT_INO, linux/proc_ns.h
constexpr uint64_t kTick = 10'000'000;                  // USER_HZ is 100 on x86

struct Destroy {
  void operator()(processes_bpf* skeleton) const { processes_bpf::destroy(skeleton); }
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

Result<bool> in_initial_namespaces() {
  TC_TRY(const uint64_t pid, targets::namespace_inode("self", "pid"));
  if (pid != targets::kInitialPidNamespace) return false;
  const auto time = targets::namespace_inode("self", "time");
  return !time || *time == kInitialTimeNamespace;  // none before 5.6
}

KernelProcess from_start_time(pid_t pid, uint64_t ticks) {
  const uint64_t first = ticks * kTick;
  return {pid, static_cast<uint32_t>(pid), first, first + kTick - 1};
}

Result<std::vector<KernelProcess>> ask_iterator() {
  const BpfLog log;
  const std::unique_ptr<processes_bpf, Destroy> skeleton(processes_bpf::open_and_load());
  const auto failed = [&](const char* what) {
    return fail_errno(fmt::format("{}: {}", what, telling_line(log.text())));
  };
  if (!skeleton) return failed("load the BPF iterator over processes");
  const std::unique_ptr<bpf_link, Destroy> link(
      bpf_program__attach_iter(skeleton->progs.tchaos_processes, nullptr));
  if (!link) return failed("attach the BPF iterator over processes");
  const ScopedFd iterator(::bpf_iter_create(bpf_link__fd(link.get())));
  if (!iterator.valid()) return failed("start the BPF iterator over processes");
  std::vector<KernelProcess> processes;
  std::vector<tc_bpf_process> part(1024);
  for (;;) {
    const ssize_t bytes = ::read(iterator.get(), part.data(), part.size() * sizeof(tc_bpf_process));
    if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (bytes < 0) return fail_errno("read the BPF iterator over processes");
    if (bytes == 0) return processes;
    // The kernel hands out whole records only (bpf_seq_read, kernel/bpf/bpf_iter.c).
    for (size_t i = 0; i < static_cast<size_t>(bytes) / sizeof(tc_bpf_process); i++) {
      const tc_bpf_process& process = part[i];
      processes.push_back(
          {static_cast<pid_t>(process.pid), process.tgid, process.started, process.started});
    }
  }
}

}  // namespace

Result<KernelProcess> kernel_process(pid_t pid) {
  TC_TRY(const bool initial, in_initial_namespaces());
  if (initial) {
    TC_TRY(const uint64_t ticks, targets::read_start_time(pid));
    return from_start_time(pid, ticks);
  }
  TC_TRY(const auto processes, ask_iterator());
  const auto found = std::find_if(processes.begin(), processes.end(),
                                  [pid](const KernelProcess& p) { return p.pid == pid; });
  if (found == processes.end()) {
    return fail(Exit::kNoTarget, fmt::format("the kernel's iterator shows no process {}", pid));
  }
  return *found;
}

Result<std::vector<KernelProcess>> kernel_processes() {
  TC_TRY(const bool initial, in_initial_namespaces());
  if (!initial) return ask_iterator();
  std::vector<KernelProcess> processes;
  for (const pid_t pid : targets::list_processes()) {
    const auto ticks = targets::read_start_time(pid);  // or it has ended
    if (ticks) processes.push_back(from_start_time(pid, *ticks));
  }
  return processes;
}

}  // namespace time_chaos::syscalls
