#include "agent/syscalls/guard.h"

#include <cerrno>
#include <span>

#include "agent/targets/process.h"
#include "agent/tracee/clock_calls.h"

namespace time_chaos::syscalls {
namespace {

using Kind = tracee::ClockCall::Kind;

// Not ADJ_OFFSET_SINGLESHOT | ADJ_NANO, which has a bit in common: both must be there
// (kernel/time/timekeeping.c, timekeeping_validate_timex).
constexpr uint32_t kReadsAdjtime = 0x8000 | 0x2000;  // ADJ_ADJTIME | ADJ_OFFSET_READONLY

// The kernel's half of the address space; of a 32-bit call the last page, where nothing is mapped.
constexpr uint64_t kBadPointer = ~uint64_t{4095};

// True if the kernel would only read. Memory that cannot be read: the kernel will say EFAULT.
bool only_reads(const FollowedThread& thread, uint64_t buffer) {
  const auto memory = tracee::Memory::open(thread.thread.tid());
  if (!memory) return false;
  uint32_t modes = 0;
  const std::span<uint8_t> bytes(reinterpret_cast<uint8_t*>(&modes), sizeof modes);
  if (memory->read_as_target(buffer, bytes) != sizeof modes) return true;
  return modes == 0 || (modes & kReadsAdjtime) == kReadsAdjtime;
}

}  // namespace

Result<bool> refuse_setting(FollowedThread& thread, const tracee::SyscallStop& entry) {
  const tracee::ClockCall call = tracee::clock_call(entry.arch, entry.number);
  if (call.kind != Kind::kSet && call.kind != Kind::kAdjust) return false;
  if (call.kind == Kind::kAdjust && only_reads(thread, entry.arguments[call.buffer])) return false;
  TC_TRY(const tracee::Registers registers, thread.thread.registers());
  tracee::Registers changed = registers;
  const auto status = targets::read_thread_status(thread.thread.pid(), thread.thread.tid());
  if (status && status->seccomp_mode == 0) {
    // Number -1 is no call, and leaves the result as it is (do_syscall_64, arch/x86): nothing is
    // left to be done, whatever happens to us.
    changed.leave_call();
    changed.set_result(-EPERM);
  } else {
    // A filter could kill the process for a call of number -1. For the same call with a bad pointer
    // it does what it would have done anyway.
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
  registers.set_argument(refused.argument, refused.value, refused.narrow);
  // Not if a filter made a signal of it: the number stands there then.
  if (registers.result() < 0) registers.set_result(-EPERM);
  return thread.thread.set_registers(registers);
}

}  // namespace time_chaos::syscalls
