#include "agent/syscalls/own_calls.h"

#include <linux/audit.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "agent/syscalls/followed_thread.h"
#include "agent/targets/process.h"
#include "agent/tracee/seccomp.h"

namespace time_chaos::syscalls {
namespace {

// Microseconds, if no other thread holds the address space.
constexpr std::chrono::milliseconds kPatience{500};

Status check_filters(const FollowedThread& thread, const OwnCallPlan& plan, bool narrow,
                     uint64_t ip) {
  TC_TRY(const auto status, targets::read_thread_status(thread.thread.pid(), thread.thread.tid()));
  const tracee::PlannedCall planned{plan.call.number, plan.call.arguments, ip, plan.name,
                                    narrow ? uint32_t{AUDIT_ARCH_I386} : tracee::audit_arch()};
  return tracee::check_allowed(thread.thread, status.seccomp_mode, {&planned, 1});
}

Status check_free(FollowedThread& thread, uint64_t at) {
  std::array<uint8_t, tracee::kOwnCallSize> bytes{};
  TC_TRY(const tracee::Memory* memory, memory_of(thread));
  TC_CHECK(memory->read(at, bytes));
  if (tracee::is_free(bytes) || tracee::parse_own_call(bytes, at)) return {};
  return fail(Exit::kFailed, "the program has mapped something else there");
}

}  // namespace

Result<uint64_t> place_for_own_call(FollowedThread& thread, const tracee::Registers& entry,
                                    bool narrow) {
  if (!thread.process->slots) {
    return fail(Exit::kFailed, "whose child it is, is not known yet");
  }
  const CallSlots& slots = *thread.process->slots;
  const auto at = slots.own_call();
  // Or another thread's call is on its way still.
  if (!at || slots.calling()) return fail(Exit::kFailed, "there is no room for a call of ours");
  // That says nothing of the calls of others.
  if (narrow && !entry.narrow()) {
    return fail(Exit::kUnsupported, "a 32-bit call of 64-bit code");
  }
  TC_CHECK(check_free(thread, *at));
  return *at;
}

Status begin_own_call(FollowedThread& thread, const tracee::Registers& entry, bool narrow,
                      uint64_t at, const OwnCallPlan& plan) {
  const tracee::Registers changed = tracee::through_own_call(entry, plan.call, narrow, at);
  TC_CHECK(check_filters(thread, plan, narrow, changed.ip()));
  const FollowedThread::Own own{tracee::call_again(entry, narrow), at};
  const auto code = tracee::own_call_code(own.home, at);
  std::vector<uint8_t> bytes(code.begin(), code.end());
  bytes.insert(bytes.end(), plan.data.begin(), plan.data.end());
  TC_CHECK(write_memory(thread, at, bytes));
  TC_CHECK(thread.thread.set_registers(changed));
  thread.own = own;
  thread.process->slots->set_calling(true);
  return {};
}

Result<bool> await_own_call(FollowedThread& thread) {
  TC_CHECK(thread.thread.resume_to_syscall());
  // Everybody waits for it: whoever comes next may need the place, too.
  const auto stop = thread.thread.wait_stop(kPatience);
  return stop && stop->kind == tracee::Stop::Kind::kSyscall;
}

Result<int64_t> leave_own_call(FollowedThread& thread) {
  thread.process->slots->set_calling(false);
  TC_TRY(const tracee::Registers stopped, thread.thread.registers());
  TC_CHECK(thread.thread.set_registers(tracee::at_home(stopped, thread.own->home)));
  return stopped.result();
}

Status wipe_own_call(FollowedThread& thread, uint64_t at) {
  return write_memory(thread, at, std::vector<uint8_t>(tracee::kOwnCallSize));
}

}  // namespace time_chaos::syscalls
