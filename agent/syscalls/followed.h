// The processes and threads that the tracer follows.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "agent/syscalls/ptrace_target.h"
#include "agent/syscalls/recent_writes.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::syscalls {

struct FollowedProcess {
  pid_t pid = 0;
  // The target that this process is or descends from. Outlives it.
  const PtraceTarget* target = nullptr;
  uint64_t vdso_start = 0;
  uint64_t vdso_end = 0;
  // Its parent is not known yet: `target` is a guess until the parent reports the birth.
  bool provisional = false;
  // It has become another program since it is followed: its vDSO is hidden. Monotonic clocks are
  // left alone in it, because they would step back when it is let go.
  bool executed = false;
  bool leaving = false;                  // not to be followed: let go at its next stop
  std::optional<tracee::Memory> memory;  // opened when first needed
  RecentWrites writes;

  void descend_from(const FollowedProcess& parent) {
    target = parent.target;
    vdso_start = parent.vdso_start;
    vdso_end = parent.vdso_end;
    provisional = parent.provisional;
    executed = parent.executed;
  }
  // A new program: a vDSO without a detour, an address space that has to be opened anew.
  void after_exec() {
    vdso_start = vdso_end = 0;
    executed = true;
    memory.reset();
    writes = {};
  }
};

struct FollowedThread {
  tracee::SeizedThread thread;
  std::shared_ptr<FollowedProcess> process;
  bool interrupted = false;      // by us; its stop has not been seen yet
  int retries = 0;               // calls that ended with EINTR, in a row
  uint64_t writes_at_entry = 0;  // process->writes.count() when the present call began
  // The present call was made to fail (guard.h), by a changed argument if there is one.
  struct Refused {
    std::optional<int> argument;
    uint64_t value = 0;  // what it was
    bool narrow = false;
  };
  std::optional<Refused> refused = {};
};

}  // namespace time_chaos::syscalls
