// A thread makes a call of ours in place of the one that it was about to make, and then that one
// (agent/tracee/own_call.h). One at a time in an address space: there is one place for it.
#pragma once

#include <array>
#include <cstdint>

#include "agent/base/error.h"
#include "agent/syscalls/followed.h"
#include "agent/tracee/registers.h"

namespace time_chaos::syscalls {

struct OwnCallPlan {
  tracee::OwnCall call;
  const char* name = nullptr;
  std::array<uint8_t, tracee::kOwnCallSize - tracee::kOwnCallCode> data{};  // behind the code
};

// Where it would stand. `thread` is at the entry of a call, of 32 bits if it is `narrow`.
Result<uint64_t> place_for_own_call(FollowedThread& thread, const tracee::Registers& entry,
                                    bool narrow);

// After success the call is being made: `thread.own` says so. An error leaves the thread at the
// entry; nothing was changed.
Status begin_own_call(FollowedThread& thread, const tracee::Registers& entry, bool narrow,
                      uint64_t at, const OwnCallPlan& plan);
// True: it is at its exit. False: it takes long, and its exit will be reported like others.
Result<bool> await_own_call(FollowedThread& thread);

// At its exit: the thread goes on with its own call. What our call has returned.
Result<int64_t> leave_own_call(FollowedThread& thread);
// At last, where nothing in the code is wanted any more.
Status wipe_own_call(FollowedThread& thread, uint64_t at);

}  // namespace time_chaos::syscalls
