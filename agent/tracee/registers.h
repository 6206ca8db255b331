// The registers of a stopped thread, and what they say about the system call it was in.
// Declared once; each architecture implements them in a file of its own.
#pragma once

#include <sys/user.h>

#include <cstdint>
#include <optional>
#include <span>

namespace time_chaos::tracee {

struct Registers {
  user_regs_struct raw{};

  [[nodiscard]] uint64_t ip() const;
  void set_ip(uint64_t address);
  [[nodiscard]] uint64_t sp() const;
  // The system call in whose exit the thread stands; -1 in user mode.
  [[nodiscard]] int64_t call() const;
  void set_call(int64_t number);  // at its entry: the kernel makes this one instead
  // Makes the kernel see the thread as in user mode: no restart logic on the way out.
  void leave_call();
  [[nodiscard]] int64_t result() const;
  void set_result(int64_t value);
  [[nodiscard]] uint64_t argument(int index) const;  // 0..5, of a system call
  // The same for a call of 32-bit code.
  [[nodiscard]] uint64_t narrow_argument(int index) const;
  void set_argument(int index, uint64_t value, bool narrow);
  // The thread runs 32-bit code.
  [[nodiscard]] bool narrow() const;

  // The kernel will run the call again (or turn it into EINTR if it delivers a signal): one of
  // -ERESTARTSYS, -ERESTARTNOINTR, -ERESTARTNOHAND, -ERESTART_RESTARTBLOCK (include/linux/errno.h).
  [[nodiscard]] bool restarting() const;
  // -ERESTART_RESTARTBLOCK: goes on as restart_syscall(2), or EINTR after a signal, always.
  [[nodiscard]] bool restart_block() const;
  // A call that would go on by restart_syscall(2) with what the kernel remembers of it, made anew
  // with its arguments instead. After a signal it ends with EINTR, as it would have.
  [[nodiscard]] Registers begun_anew() const;
  // A call that a signal has ended with EINTR, as one that is made again if no handler runs.
  [[nodiscard]] Registers made_again() const;
  // What the thread would execute next if no signal came: the registers after the kernel's own
  // restart logic (arch/x86/kernel/signal.c, arch_do_signal_or_restart).
  [[nodiscard]] Registers resumed() const;

  // -EINTR from a call that the kernel never restarts by itself when a tracer interrupts it
  // (epoll_wait, sigtimedwait, recv with a timeout, ... signal(7)).
  [[nodiscard]] bool interrupted_without_restart() const;
  // The same call, run again from its beginning.
  [[nodiscard]] Registers call_again() const;
};

bool operator==(const Registers& a, const Registers& b);

// System call numbers that the rest of the agent needs, by architecture.
struct CallNumbers {
  int64_t mmap, munmap, madvise, restart_syscall, futex;
};
CallNumbers call_numbers();
uint32_t audit_arch();

// A signal frame on a stack (the kernel's struct rt_sigframe) as seen from the word that holds the
// saved instruction pointer: where sigreturn will go, and on which stack.
struct SignalFrame {
  uint64_t ip = 0;
  uint64_t sp = 0;
};
// The frame whose saved instruction pointer is words[index], if the words around it look like one.
std::optional<SignalFrame> signal_frame_at(std::span<const uint64_t> words, size_t index);
// False where none of these words can belong to one. Quick: for many words.
bool may_hold_signal_frame(std::span<const uint64_t> words);

// True for a blocking call after which -EINTR is all the kernel offers: a thread in one of them is
// the last choice for an interruption. `narrow`: a call of 32-bit code.
bool never_restarted(int64_t call, bool narrow = false);
// True for a call that goes on by restart_syscall(2) after an interruption: a good choice.
bool sleeps_with_restart_block(int64_t call);

}  // namespace time_chaos::tracee
