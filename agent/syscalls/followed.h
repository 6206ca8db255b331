// The processes and threads that the tracer follows.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>

#include "agent/clock/reading.h"
#include "agent/syscalls/call_slots.h"
#include "agent/syscalls/ptrace_target.h"
#include "agent/syscalls/recent_writes.h"
#include "agent/syscalls/timer_end.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/own_call.h"
#include "agent/tracee/seized_thread.h"
#include "agent/tracee/wait_lengths.h"
#include "time_chaos/abi/clock_page.h"

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
  std::map<int, TimerEnd> timerfds;        // set to a time, by descriptor
  std::map<int, PosixTimer> posix_timers;  // set to a time, by id
  std::shared_ptr<CallSlots> slots;        // of its memory; null while it is provisional

  // `shares`: they have one memory (vfork, CLONE_VM).
  void descend_from(const FollowedProcess& parent, bool shares) {
    target = parent.target;
    vdso_start = parent.vdso_start;
    vdso_end = parent.vdso_end;
    provisional = parent.provisional;
    executed = parent.executed;
    timerfds = parent.timerfds;
    slots = shares || !parent.slots ? parent.slots
                                    : std::make_shared<CallSlots>(parent.slots->ranges());
  }
  // A new program: a vDSO without a detour, an address space that has to be opened anew.
  void after_exec() {
    vdso_start = vdso_end = 0;
    executed = true;
    memory.reset();
    writes = {};
    posix_timers.clear();  // an exec deletes them
    slots = std::make_shared<CallSlots>(slots_behind_vdso(pid));
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
  bool resumed_futex = false;  // before it was followed: see agent/tracee/waits_anew.h
  // The present call waits until a time, or for a length of time, of whatever clock.
  bool waits = false;
  // The present call returns through a slot, with an argument of ours (call_slot.h).
  struct Mapped {
    tracee::ReplacedArgument replaced;
    CallSlots::Lease slot;
  };
  std::optional<Mapped> mapped = {};
  // In place of the present call it makes one of ours (own_calls.h).
  struct Own {
    tracee::Home home;
    uint64_t at = 0;  // its code
    // It sets a timer, or else it maps pages.
    struct Timer {
      int id = 0;
      TimerEnd end;
    };
    std::optional<Timer> timer = {};
    tracee::SlotRange range = {};
  };
  std::optional<Own> own = {};
  // The present call waits for a length of time (map_length.h).
  struct LengthWait {
    tracee::LengthCall call;
    int64_t number = 0;
    uint64_t ip = 0;
    std::array<uint64_t, 6> arguments{};
    bool compat = false;
    int clock = 0;
    tc_clock_map map{};    // by which it was mapped
    clock::Reading began;  // as the target's clock showed it
    // Where it was mapped.
    bool replaced = false;
    clock::Reading end;   // as the target's clock will show it
    int64_t given = 0;    // the length that the program asked for
    clock::Reading over;  // when the kernel will end it
  };
  std::optional<LengthWait> length = {};
  // The present call sets a timer to a time or to a length.
  struct TimerChange {
    tracee::Deadline::Clock source;
    int name = 0;
    std::optional<PosixTimer> set;  // to a time that the kernel takes
  };
  std::optional<TimerChange> timer_change = {};
  // The call before this one, which waited for a length of time, was interrupted and is made again.
  std::optional<LengthWait> continues = {};
};

}  // namespace time_chaos::syscalls
