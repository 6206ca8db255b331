#include "agent/syscalls/guard.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <optional>
#include <span>

#include "agent/targets/process.h"
#include "agent/tracee/clock_calls.h"
#include "agent/tracee/seccomp.h"

namespace time_chaos::syscalls {
namespace {

using Kind = tracee::ClockCall::Kind;

// Not ADJ_OFFSET_SINGLESHOT | ADJ_NANO, which has a bit in common: both must be there
// (kernel/time/timekeeping.c, timekeeping_validate_timex).
constexpr uint32_t kReadsAdjtime = 0x8000 | 0x2000;  // ADJ_ADJTIME | ADJ_OFFSET_READONLY

// The kernel's half of the address space; of a 32-bit call the last page, where nothing is mapped.
constexpr uint64_t kBadPointer = ~uint64_t{4095};

constexpr int64_t kNoCall = -1;

// True if the kernel would only read. Memory that cannot be read: the kernel will say EFAULT.
bool only_reads(const FollowedThread& thread, uint64_t buffer) {
  const auto memory = tracee::Memory::open(thread.thread.tid());
  if (!memory) return false;
  uint32_t modes = 0;
  const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(&modes), sizeof modes);
  if (memory->read_as_target(buffer, bytes) != sizeof modes) return true;
  return modes == 0 || (modes & kReadsAdjtime) == kReadsAdjtime;
}

// What may stand in for the call, with nothing left to be done whatever happens to us: number -1,
// which is no call (the kernel goes past it and leaves the result as it is, do_syscall_64,
// arch/x86), else one that does nothing. Nothing: neither, for what the filters would do.
std::optional<int64_t> stand_in(const FollowedThread& thread, const tracee::SyscallStop& entry) {
  const auto status = targets::read_thread_status(thread.thread.pid(), thread.thread.tid());
  if (!status) return std::nullopt;
  if (status->seccomp_mode == 0) return kNoCall;
  if (tracee::narrow_arguments(entry.arch)) return std::nullopt;
  const auto filters = tracee::read_filters(thread.thread);
  if (!filters || filters->empty()) return std::nullopt;  // strict mode has none
  for (const int64_t number : {kNoCall, int64_t{SYS_sched_yield}}) {
    tracee::PlannedCall call{number, {}, entry.instruction_pointer, ""};
    std::copy(std::begin(entry.arguments), std::end(entry.arguments), call.arguments.begin());
    const bool harmless = std::all_of(filters->begin(), filters->end(), [&](const auto& filter) {
      const auto answer = tracee::evaluate(filter, call);
      if (!answer) return false;
      const uint32_t action = *answer & SECCOMP_RET_ACTION_FULL;
      return action == SECCOMP_RET_ALLOW || action == SECCOMP_RET_LOG ||
             action == SECCOMP_RET_ERRNO;
    });
    if (harmless) return number;
  }
  return std::nullopt;
}

}  // namespace

Result<bool> refuse_setting(FollowedThread& thread, const tracee::SyscallStop& entry) {
  const tracee::ClockCall call = tracee::clock_call(entry.arch, entry.number);
  if (call.kind != Kind::kSet && call.kind != Kind::kAdjust) return false;
  if (call.kind == Kind::kAdjust && only_reads(thread, entry.arguments[call.buffer])) return false;
  TC_TRY(const tracee::Registers registers, thread.thread.registers());
  tracee::Registers changed = registers;
  if (const auto number = stand_in(thread, entry)) {
    // An agent that dies here leaves this result, or that of the filter or of the call that does
    // nothing; all registers else are the target's own.
    changed.set_call(*number);
    changed.set_result(-EPERM);
    thread.refused = FollowedThread::Refused{};
  } else {
    // For the same call with a bad pointer a filter does what it would have done anyway.
    const bool narrow = tracee::narrow_arguments(entry.arch);
    changed.set_argument(call.buffer, kBadPointer, narrow);
    thread.refused = FollowedThread::Refused{call.buffer, entry.arguments[call.buffer], narrow};
  }
  TC_CHECK(thread.thread.set_registers(changed));
  return true;
}

Status finish_refused_call(FollowedThread& thread) {
  if (!thread.refused) return {};
  const auto refused = *thread.refused;
  thread.refused.reset();
  TC_TRY(tracee::Registers registers, thread.thread.registers());
  if (refused.argument) {
    registers.set_argument(*refused.argument, refused.value, refused.narrow);
  }
  // Not if a filter made a signal of it: the number stands there then.
  if (registers.result() <= 0) registers.set_result(-EPERM);
  return thread.thread.set_registers(registers);
}

}  // namespace time_chaos::syscalls
