// Makes a thread of a target call its loader, at a safe point, and waits until it is back in its
// own system call. Once the thread is on its way it needs nobody (payload/fake_x86_64.S).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/payload/fake.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/seccomp.h"
#include "agent/vdso/loader.h"

namespace time_chaos::vdso {

// The system calls that a loader makes, and we around it, as a seccomp filter sees them.
std::vector<tracee::PlannedCall> calls_of_loading();

// There is such a point, and no seccomp filter in the way: what can be refused, before anything is
// changed. Inside tracee::in_session(), as are the others.
Status rehearse_loader(pid_t pid, const tracee::Memory& memory, const Loader& loader);

struct LoaderRun {
  tc_fake_call call;                    // as the thread has left it
  std::chrono::nanoseconds stopped{0};  // from the stop until the thread is home
};

// Writes `call` into the pages at `place`, in which no thread is, and has it made. kNoTarget when
// the target ended over it, kFailed when it does not come to an end: the thread is left to itself
// then.
Result<LoaderRun> call_loader(pid_t pid, tracee::Memory& memory, const Loader& loader,
                              uint64_t place, tc_fake_call call);

}  // namespace time_chaos::vdso
