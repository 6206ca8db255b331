// What the registers of a stopped thread say about the system call it was in.
#include "agent/tracee/registers.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>

namespace time_chaos::tracee {
namespace {

constexpr uint64_t kBehindSyscall = 0x401002;

Registers in_call(int64_t number, int64_t result) {
  Registers registers;
  registers.raw.orig_rax = static_cast<uint64_t>(number);
  registers.raw.rax = static_cast<uint64_t>(result);
  registers.raw.rip = kBehindSyscall;
  registers.raw.rsp = 0x7ffc0000;
  return registers;
}

TEST(Registers, AThreadInUserModeResumesWhereItIs) {
  // What looks like a restart code is the program's own value there.
  const Registers registers = in_call(-1, -512);
  EXPECT_FALSE(registers.restarting());
  EXPECT_EQ(registers.resumed(), registers);
}

TEST(Registers, AFinishedCallResumesBehindIt) {
  for (const int64_t result :
       {int64_t{0}, int64_t{17}, int64_t{-EINTR}, int64_t{-511}, int64_t{-515}, int64_t{-517}}) {
    const Registers registers = in_call(SYS_read, result);
    EXPECT_FALSE(registers.restarting()) << result;
    EXPECT_EQ(registers.resumed(), registers) << result;
  }
}

TEST(Registers, ARestartingCallResumesAtItsInstructionWithItsNumber) {
  for (const int64_t code : {-512, -513, -514}) {  // SYS, NOINTR, NOHAND
    const Registers registers = in_call(SYS_wait4, code);
    EXPECT_TRUE(registers.restarting()) << code;
    EXPECT_FALSE(registers.restart_block()) << code;
    Registers wanted = registers;
    wanted.raw.rax = SYS_wait4;
    wanted.raw.rip = kBehindSyscall - 2;
    EXPECT_EQ(registers.resumed(), wanted) << code;
  }
}

TEST(Registers, ACallWithARestartBlockResumesAsRestartSyscall) {
  const Registers registers = in_call(SYS_nanosleep, -516);
  EXPECT_TRUE(registers.restarting());
  EXPECT_TRUE(registers.restart_block());
  EXPECT_EQ(registers.resumed().result(), SYS_restart_syscall);
  EXPECT_EQ(registers.resumed().ip(), kBehindSyscall - 2);
}

TEST(Registers, CallNumberZeroIsACall) {
  EXPECT_TRUE(in_call(SYS_read, -512).restarting());
  EXPECT_EQ(in_call(SYS_read, -512).resumed().result(), SYS_read);
}

TEST(Registers, OnlyCallsThatKnowNothingButEintrAreInterruptedWithoutRestart) {
  EXPECT_TRUE(in_call(SYS_epoll_wait, -EINTR).interrupted_without_restart());
  EXPECT_TRUE(in_call(SYS_rt_sigtimedwait, -EINTR).interrupted_without_restart());
  EXPECT_TRUE(in_call(SYS_semtimedop, -EINTR).interrupted_without_restart());
  EXPECT_TRUE(in_call(SYS_recvfrom, -EINTR).interrupted_without_restart());
  EXPECT_FALSE(in_call(SYS_epoll_wait, -EAGAIN).interrupted_without_restart());
  EXPECT_FALSE(in_call(SYS_epoll_wait, 1).interrupted_without_restart());
  EXPECT_FALSE(in_call(SYS_nanosleep, -EINTR).interrupted_without_restart());
  EXPECT_FALSE(in_call(-1, -EINTR).interrupted_without_restart());
}

TEST(Registers, CallAgainRunsTheSameCallFromItsBeginning) {
  const Registers again = in_call(SYS_epoll_wait, -EINTR).call_again();
  EXPECT_EQ(again.result(), SYS_epoll_wait);
  EXPECT_EQ(again.ip(), kBehindSyscall - 2);
  EXPECT_EQ(again.call(), -1);  // no restart logic of the kernel comes on top
  EXPECT_FALSE(again.restarting());
  EXPECT_EQ(again.resumed(), again);
}

TEST(Registers, ArgumentsAreThoseOfASystemCall) {
  Registers registers;
  registers.raw.rdi = 10;
  registers.raw.rsi = 11;
  registers.raw.rdx = 12;
  registers.raw.r10 = 13;
  registers.raw.rcx = 99;  // holds the return address, no argument
  registers.raw.r8 = 14;
  registers.raw.r9 = 15;
  for (int i = 0; i < 6; i++) EXPECT_EQ(registers.argument(i), 10U + static_cast<unsigned>(i));
}

TEST(Registers, SetIpChangesNothingElse) {
  Registers registers = in_call(SYS_poll, -516);
  registers.set_ip(5);
  EXPECT_EQ(registers.ip(), 5U);
  EXPECT_EQ(registers.call(), SYS_poll);
  EXPECT_TRUE(registers.restart_block());
  registers.leave_call();
  EXPECT_EQ(registers.call(), -1);
  EXPECT_FALSE(registers.restarting());
}

// struct sigcontext: ..., rsp, rip, rflags, cs | gs << 16 | fs << 32 | ss << 48.
TEST(SignalFrame, IsTheWordsBesideASavedInstructionPointer) {
  const std::array<uint64_t, 6> words = {1, 0x7ffe1000, 0x401234, 0x246, 0x002b000000000033, 6};
  const auto frame = signal_frame_at(words, 2);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->ip, 0x401234U);
  EXPECT_EQ(frame->sp, 0x7ffe1000U);
  for (const size_t other : {0U, 1U, 3U, 4U, 5U, 6U, 100U}) {
    EXPECT_FALSE(signal_frame_at(words, other)) << other;
  }
}

TEST(SignalFrame, NeedsTheSegmentsOf64BitUserCode) {
  for (const uint64_t segments :
       {uint64_t{0}, uint64_t{0x33}, uint64_t{0x002b000000000023}, uint64_t{0x002b000000000010}}) {
    const std::array<uint64_t, 4> words = {0x7ffe1000, 0x401234, 0x246, segments};
    EXPECT_FALSE(signal_frame_at(words, 1)) << segments;
  }
}

TEST(SignalFrame, NeverLooksOutside) {
  const std::array<uint64_t, 3> words = {0x401234, 0x246, 0x002b000000000033};
  EXPECT_FALSE(signal_frame_at(words, 0));  // no word in front
  EXPECT_FALSE(signal_frame_at({words.data(), 2}, 1));
  EXPECT_FALSE(signal_frame_at({}, 0));
}

TEST(CallNumbers, AreThoseOfThisMachine) {
  EXPECT_EQ(call_numbers().mmap, SYS_mmap);
  EXPECT_TRUE(sleeps_with_restart_block(SYS_clock_nanosleep));
  EXPECT_FALSE(sleeps_with_restart_block(SYS_epoll_wait));
  EXPECT_TRUE(never_restarted(SYS_epoll_pwait2));
  EXPECT_FALSE(never_restarted(SYS_futex));
}

}  // namespace
}  // namespace time_chaos::tracee
