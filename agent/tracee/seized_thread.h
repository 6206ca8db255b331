// One thread, held by PTRACE_SEIZE. All ptrace requests of the agent go through this type.
//
// Its contract: whatever happens to the agent, the thread loses nothing. It is never seized with
// EXITKILL, and stops are waited for with WNOWAIT, because the kernel forgets the signal of a
// signal-delivery-stop once its status was consumed and the tracer dies.
//
// Nothing is undone by the destructor: a thread that is stopped is let go by detach(), a thread
// that runs is let go when the tracer's own thread ends (session.h), without another stop.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/tracee/registers.h"

namespace time_chaos::tracee {

struct Stop {
  enum class Kind {
    kInterrupt,  // PTRACE_EVENT_STOP: ours; registers are at a point where signals are handled
    kGroup,      // the process is stopped (SIGSTOP, SIGTSTP...)
    kSignal,     // about to be delivered: `signal`
    kSyscall,    // entry or exit under resume_to_syscall()
    kEvent,      // PTRACE_EVENT_CLONE, _EXEC, ...: `event`
    kExited,     // gone
  };
  Kind kind = Kind::kExited;
  int signal = 0;
  int event = 0;
  int exit_status = 0;  // kExited: as waitpid's status, if known
};

class SeizedThread {
 public:
  // PTRACE_SEIZE without stopping the thread. `pid`: its process, for messages. EPERM is explained
  // (already traced by whom; Yama; capabilities).
  static Result<SeizedThread> seize(pid_t pid, pid_t tid, uint64_t options = 0);

  // For a thread that the kernel attached by itself (PTRACE_O_TRACECLONE and its kin).
  static SeizedThread adopt(pid_t pid, pid_t tid) { return SeizedThread(pid, tid); }

  [[nodiscard]] pid_t tid() const { return tid_; }
  [[nodiscard]] pid_t pid() const { return pid_; }

  // Stops the thread; signals that come in between are delivered on. kFailed after `patience` (a
  // thread in uninterruptible sleep), kNoTarget when it ended. A group stop is a Stop of its own.
  Result<Stop> interrupt(std::chrono::milliseconds patience = std::chrono::milliseconds(500));

  // The next stop. With `patience` zero: what is there now, or nothing.
  Result<std::optional<Stop>> poll_stop();
  // A thread that only waits for its turn on a CPU gets more than `patience`.
  Result<Stop> wait_stop(std::chrono::milliseconds patience);

  Status resume(int signal = 0);             // PTRACE_CONT
  Status resume_to_syscall(int signal = 0);  // PTRACE_SYSCALL
  Status listen();                           // stays in its group stop, but reports
  Status go_on(const Stop& stop);            // as it was: runs, or stays stopped with its process
  Status request_interrupt();                // PTRACE_INTERRUPT alone
  Status detach(int signal = 0);             // only while stopped
  Status set_options(uint64_t options);
  Result<uint64_t> event_message() const;  // PTRACE_GETEVENTMSG

  Result<Registers> registers() const;
  Status set_registers(const Registers& registers);

  Result<uint64_t> signal_mask() const;
  Status set_signal_mask(uint64_t mask);
  // sigsuspend, ppoll and their kin run under a temporary mask and have the old one saved for
  // later; writing the mask back as it reads ends that, so that nothing is pending in the kernel
  // when the thread runs something else. Harmless otherwise.
  Status drop_temporary_mask();

  // One word by PTRACE_POKEDATA / PEEKDATA (aligned or not). The way in where /proc/PID/mem may
  // not write.
  Status poke(uint64_t address, uint64_t word);
  Result<uint64_t> peek(uint64_t address) const;

 private:
  SeizedThread(pid_t pid, pid_t tid) : pid_(pid), tid_(tid) {}
  pid_t pid_;
  pid_t tid_;
};

// Waits, and meanwhile passes on the signals of threads that are seized and running: each of them
// stops for its tracer whenever a signal comes.
void serve(const std::vector<SeizedThread>& running, std::chrono::microseconds time);

// The thread has an unblocked signal waiting: its call must be allowed to end with EINTR.
bool signal_deliverable(pid_t pid, pid_t tid);

}  // namespace time_chaos::tracee
