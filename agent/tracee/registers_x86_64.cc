// x86-64: registers, restart codes and system call numbers.
#include <linux/audit.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "agent/tracee/registers.h"

namespace time_chaos::tracee {
namespace {

// include/linux/errno.h; never seen by user space but through ptrace.
constexpr int64_t kRestartSys = -512;
constexpr int64_t kRestartNoIntr = -513;
constexpr int64_t kRestartNoHand = -514;
constexpr int64_t kRestartBlock = -516;
constexpr uint64_t kSyscallInstructionSize = 2;

constexpr int64_t kNeverRestarted[] = {
    SYS_epoll_wait,      SYS_epoll_pwait,  SYS_epoll_pwait2,  SYS_semtimedop, SYS_semop,
    SYS_rt_sigtimedwait, SYS_io_getevents, SYS_io_pgetevents, SYS_recvfrom,   SYS_recvmsg,
    SYS_recvmmsg,        SYS_accept,       SYS_accept4,       SYS_sendto,     SYS_sendmsg,
    SYS_sendmmsg,        SYS_read,         SYS_write,         SYS_readv,      SYS_writev,
    SYS_connect,
};

// The same of i386 (arch/x86/entry/syscalls/syscall_32.tbl), in the same order; behind them
// semtimedop, rt_sigtimedwait, io_pgetevents and recvmmsg with 64-bit times, and socketcall and
// ipc, through which older programs make some of the others.
constexpr int64_t kNeverRestartedI386[] = {
    256, 319, 441, 177, 247, 385, 371, 372, 337, 364, 369, 370,
    345, 3,   4,   145, 146, 362, 420, 421, 416, 417, 102, 117,
};
// Where the arguments of a call are, and those of a call of 32-bit code.
using Register = decltype(user_regs_struct::rdi) user_regs_struct::*;
constexpr Register kArguments[] = {&user_regs_struct::rdi, &user_regs_struct::rsi,
                                   &user_regs_struct::rdx, &user_regs_struct::r10,
                                   &user_regs_struct::r8,  &user_regs_struct::r9};
constexpr Register kNarrowArguments[] = {&user_regs_struct::rbx, &user_regs_struct::rcx,
                                         &user_regs_struct::rdx, &user_regs_struct::rsi,
                                         &user_regs_struct::rdi, &user_regs_struct::rbp};
constexpr uint64_t kSegmentOf32BitCode = 0x23;  // __USER32_CS

constexpr int64_t kRestartBlockSleeps[] = {
    SYS_nanosleep, SYS_clock_nanosleep, SYS_poll, SYS_futex, SYS_restart_syscall,
};

// arch/x86/include/uapi/asm/sigcontext.h: ..., sp, ip, flags, cs|gs|fs|ss, ... 64-bit user code
// always runs with cs 0x33 and ss 0x2b.
constexpr uint64_t kSegments = 0x002b000000000033;

}  // namespace

uint64_t Registers::ip() const {
  return raw.rip;
}
void Registers::set_ip(uint64_t address) {
  raw.rip = address;
}
uint64_t Registers::sp() const {
  return raw.rsp;
}
int64_t Registers::call() const {
  return static_cast<int64_t>(raw.orig_rax);
}
void Registers::set_call(int64_t number) {
  raw.orig_rax = static_cast<uint64_t>(number);
}
void Registers::leave_call() {
  raw.orig_rax = static_cast<uint64_t>(-1);
}
int64_t Registers::result() const {
  return static_cast<int64_t>(raw.rax);
}
void Registers::set_result(int64_t value) {
  raw.rax = static_cast<uint64_t>(value);
}

uint64_t Registers::argument(int index) const {
  return raw.*kArguments[index];
}

uint64_t Registers::narrow_argument(int index) const {
  return static_cast<uint32_t>(raw.*kNarrowArguments[index]);
}

void Registers::set_argument(int index, uint64_t value, bool narrow) {
  if (narrow) {
    raw.*kNarrowArguments[index] = static_cast<uint32_t>(value);
  } else {
    raw.*kArguments[index] = value;
  }
}

bool Registers::narrow() const {
  return raw.cs == kSegmentOf32BitCode;
}

bool Registers::restarting() const {
  if (call() < 0) return false;
  const int64_t code = result();
  return code == kRestartSys || code == kRestartNoIntr || code == kRestartNoHand ||
         code == kRestartBlock;
}

bool Registers::restart_block() const {
  return call() >= 0 && result() == kRestartBlock;
}

Registers Registers::begun_anew() const {
  Registers next = *this;
  if (restart_block()) next.set_result(kRestartNoHand);
  return next;
}

Registers Registers::made_again() const {
  Registers next = *this;
  if (call() >= 0 && result() == -EINTR) next.set_result(kRestartNoHand);
  return next;
}

Registers Registers::resumed() const {
  Registers next = *this;
  if (!restarting()) return next;
  next.raw.rax = restart_block() ? static_cast<uint64_t>(SYS_restart_syscall) : raw.orig_rax;
  next.raw.rip -= kSyscallInstructionSize;
  return next;
}

bool Registers::interrupted_without_restart() const {
  return call() >= 0 && result() == -EINTR && never_restarted(call(), narrow());
}

Registers Registers::call_again() const {
  Registers next = *this;
  next.raw.rax = raw.orig_rax;
  next.raw.rip -= kSyscallInstructionSize;
  next.leave_call();
  return next;
}

bool operator==(const Registers& a, const Registers& b) {
  return std::memcmp(&a.raw, &b.raw, sizeof a.raw) == 0;
}

CallNumbers call_numbers() {
  return {.mmap = SYS_mmap,
          .munmap = SYS_munmap,
          .madvise = SYS_madvise,
          .restart_syscall = SYS_restart_syscall,
          .futex = SYS_futex};
}

uint32_t audit_arch() {
  return AUDIT_ARCH_X86_64;
}

std::optional<SignalFrame> signal_frame_at(std::span<const uint64_t> words, size_t index) {
  if (index < 1 || index + 2 >= words.size() || words[index + 2] != kSegments) return std::nullopt;
  return SignalFrame{words[index], words[index - 1]};
}

bool may_hold_signal_frame(std::span<const uint64_t> words) {
  return std::find(words.begin(), words.end(), kSegments) != words.end();
}

bool never_restarted(int64_t call, bool narrow) {
  if (narrow) {
    return std::find(std::begin(kNeverRestartedI386), std::end(kNeverRestartedI386), call) !=
           std::end(kNeverRestartedI386);
  }
  return std::find(std::begin(kNeverRestarted), std::end(kNeverRestarted), call) !=
         std::end(kNeverRestarted);
}

bool sleeps_with_restart_block(int64_t call) {
  return std::find(std::begin(kRestartBlockSleeps), std::end(kRestartBlockSleeps), call) !=
         std::end(kRestartBlockSleeps);
}

}  // namespace time_chaos::tracee
