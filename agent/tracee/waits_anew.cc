#include "agent/tracee/waits_anew.h"

#include <linux/audit.h>

#include <algorithm>
#include <string>
#include <vector>

#include "agent/targets/process.h"
#include "agent/tracee/eintr.h"
#include "agent/tracee/session.h"
#include "agent/tracee/wait_calls.h"

namespace time_chaos::tracee {
namespace {

bool waits_for_a_time(int64_t number, std::span<const uint64_t> arguments, bool narrow) {
  const auto deadline = deadline_of(narrow ? AUDIT_ARCH_I386 : audit_arch(), number, arguments);
  return deadline && arguments[static_cast<size_t>(deadline->argument)] != 0;
}

bool in_slots(std::span<const SlotRange> slots, uint64_t ip) {
  return std::any_of(slots.begin(), slots.end(),
                     [ip](const SlotRange& range) { return range.contains(ip); });
}

// From outside, without a stop: /proc does not say whether a call is of 32 bits, so both are
// looked at.
bool worth_a_stop(pid_t pid, pid_t tid, std::span<const SlotRange> slots) {
  const auto call = targets::read_thread_syscall(pid, tid);
  if (!call) return true;  // the file is missing in some kernels
  if (call->running) return !slots.empty();
  if (in_slots(slots, call->instruction_pointer)) return true;
  return call->number >= 0 && (waits_for_a_time(call->number, call->arguments, false) ||
                               waits_for_a_time(call->number, call->arguments, true) ||
                               call->number == call_numbers().restart_syscall);
}

Result<bool> begin_anew(pid_t pid, pid_t tid, std::span<const SlotRange> slots) {
  const bool resumed = resumed_futex(pid, tid);
  TC_TRY(auto thread, SeizedThread::seize(pid, tid));
  TC_TRY(const Stop stop, thread.interrupt());
  auto registers = thread.registers();
  bool changed = false;
  if (registers) {
    // First its own argument, which is null where it waits without an end.
    Registers wanted = *registers;
    const bool replaced = in_slots(slots, wanted.ip());
    if (replaced) wanted = without_slot(pid, wanted, slots);
    // The end that the kernel knows may be none at all, of a clock that stood still.
    if (replaced) wanted = wanted.begun_anew();
    wanted = waiting_anew(without_our_eintr(thread, wanted), resumed);
    changed = wanted.restarting();
    if (!(wanted == *registers)) TC_CHECK(thread.set_registers(wanted));
  }
  (void)stop;  // a group stop goes on behind the detach
  TC_CHECK(thread.detach());
  return changed;
}

}  // namespace

Registers waiting_anew(const Registers& stopped, bool resumed) {
  if (!stopped.restart_block()) return stopped;
  const bool narrow = stopped.narrow();
  Registers call = stopped;
  if (resumed && !narrow && stopped.call() == call_numbers().restart_syscall) {
    call.set_call(call_numbers().futex);
  }
  uint64_t arguments[6];
  for (int i = 0; i < 6; i++) {
    arguments[i] = narrow ? call.narrow_argument(i) : call.argument(i);
  }
  return waits_for_a_time(call.call(), arguments, narrow) ? call.begun_anew() : stopped;
}

bool resumed_futex(pid_t pid, pid_t tid) {
  const auto call = targets::read_thread_syscall(pid, tid);
  if (!call || call->running || call->number != call_numbers().restart_syscall) return false;
  return targets::read_thread_wchan(pid, tid).find("futex") != std::string::npos;
}

Result<size_t> begin_waits_anew(pid_t pid, std::span<const SlotRange> slots) {
  return in_session([&]() -> Result<size_t> {
    size_t anew = 0;
    for (const pid_t tid : targets::list_threads(pid)) {
      if (!worth_a_stop(pid, tid, slots)) continue;
      const auto begun = begin_anew(pid, tid, slots);
      if (!begun && begun.error().kind() == Exit::kNoTarget) continue;  // it has ended
      if (!begun) return fail(begun.error());
      if (*begun) anew++;
    }
    return anew;
  });
}

}  // namespace time_chaos::tracee
