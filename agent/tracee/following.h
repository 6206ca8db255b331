// What a tracer needs, beyond SeizedThread, to follow threads from system call to system call:
// which system call stop this is, which events announce new threads, and a wait for whichever of
// the followed threads reports next.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "agent/base/error.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::tracee {

// For SeizedThread::seize(): new threads and children are attached by the kernel, before they run
// (CLONE, FORK, VFORK), and a new program is announced (EXEC). Never EXITKILL.
uint64_t follow_options();

// A Stop of kind kEvent.
enum class Event {
  kNewTask,  // event_message(): the new thread's or child's id
  kExec,     // event_message(): the id the thread had; it now has its process's
  kOther,
};
Event event_of(const Stop& stop);

// PTRACE_GET_SYSCALL_INFO (Linux 5.3): the kernel's own word on entry and exit. Counting stops
// instead goes wrong at every signal and event in between.
struct SyscallStop {
  enum class Phase { kEntry, kExit, kNone };
  Phase phase = Phase::kNone;
  uint32_t arch = 0;                 // AUDIT_ARCH_*: 32-bit calls of 64-bit programs differ
  uint64_t instruction_pointer = 0;  // behind the system call instruction
  // At an entry.
  int64_t number = -1;
  uint64_t arguments[6] = {};
};
Result<SyscallStop> read_syscall_stop(const SeizedThread& stopped);

// A thread that the calling thread traces, or a child that it made itself, with something to
// report. Nothing is consumed: the same one is named until it was resumed or reaped. Children and
// tracees of the process's other threads are not seen (__WNOTHREAD). kNoTarget: there are none.
Result<pid_t> wait_any();
Result<std::optional<pid_t>> poll_any();  // what is there now, or nothing

// Two processes in one address space (vfork, CLONE_VM). True also where the kernel does not say.
bool share_memory(pid_t one, pid_t other);

// Takes the report of an event stop; nothing is lost by that but the report. An exec that changed
// the thread's id is answered with ESRCH until then (looks_like_a_spurious_pid, kernel/ptrace.c).
void take_event(pid_t tid);
// Takes the report of a thread that ended; its id is free from then on.
void reap(pid_t tid);

}  // namespace time_chaos::tracee
