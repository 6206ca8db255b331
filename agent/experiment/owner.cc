#include "agent/experiment/owner.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "agent/targets/process.h"

namespace time_chaos::experiment {

void sign(tc_clock_page& page) {
  const pid_t self = ::getpid();
  page.owner_pid = static_cast<uint32_t>(self);
  page.owner_start = targets::read_start_time(self).value_or(0);
  page.owner_pidns = targets::pid_namespace_inode(self).value_or(0);
}

void unsign(tc_clock_page& page) {
  page.owner_pid = 0;
  page.owner_start = 0;
  page.owner_pidns = 0;
}

std::optional<pid_t> living_owner(const tc_clock_page& page) {
  if (page.owner_pid == 0) return std::nullopt;
  const auto ours = targets::pid_namespace_inode(::getpid());
  if (!ours || *ours != page.owner_pidns) return std::nullopt;
  const auto pid = static_cast<pid_t>(page.owner_pid);
  const auto start = targets::read_start_time(pid);
  if (!start || *start != page.owner_start) return std::nullopt;
  return pid;
}

bool abandoned(const tc_clock_page& page) {
  if (page.experiment[0] == '\0' || page.owner_pid == 0 || living_owner(page)) return false;
  const auto ours = targets::pid_namespace_inode(::getpid());
  if (!ours || *ours != page.owner_pidns) return false;
  // Its start cannot be read: it has ended, or it is hidden from us (hidepid), and may live.
  const auto pid = static_cast<pid_t>(page.owner_pid);
  if (targets::read_start_time(pid)) return true;
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

void tell_owner(const tc_clock_page& page) {
  const auto owner = living_owner(page);
  if (!owner) return;
  const auto process = targets::Process::open(*owner);
  if (!process || living_owner(page) != owner) return;  // its pid was given to another
  (void)::syscall(SYS_pidfd_send_signal, process->pidfd(), kChangedSignal, nullptr, 0);
}

}  // namespace time_chaos::experiment
