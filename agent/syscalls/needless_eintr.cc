#include "agent/syscalls/needless_eintr.h"

#include <csignal>

#include "agent/tracee/registers.h"

namespace time_chaos::syscalls {
namespace {

constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}

// SIG_KERNEL_IGNORE_MASK, include/linux/signal.h.
constexpr uint64_t kIgnoredByDefault = bit(SIGCONT) | bit(SIGCHLD) | bit(SIGWINCH) | bit(SIGURG);

// `taken`: ignored signals only count as nothing.
Status undo(tracee::SeizedThread& stopped, uint64_t taken) {
  TC_TRY(const tracee::Registers registers, stopped.registers());
  if (!registers.interrupted_without_restart()) return {};
  TC_TRY(const auto status, targets::read_thread_status(stopped.pid(), stopped.tid()));
  const uint64_t waiting = (status.pending | status.shared_pending) & ~status.blocked;
  if (((waiting | taken) & ~ignored_signals(status)) != 0) return {};
  return stopped.set_registers(registers.call_again());
}

}  // namespace

uint64_t ignored_signals(const targets::ProcStatus& status) {
  return status.ignored | (kIgnoredByDefault & ~status.caught);
}

bool runs_handler(const tracee::SeizedThread& stopped, int signal) {
  const auto status = targets::read_thread_status(stopped.pid(), stopped.tid());
  return !status || (status->caught & bit(signal)) != 0;
}

Status undo_needless_eintr(tracee::SeizedThread& stopped) {
  return undo(stopped, 0);
}

Status undo_eintr_of_ignored(tracee::SeizedThread& stopped, int signal) {
  return undo(stopped, bit(signal));
}

}  // namespace time_chaos::syscalls
