// The self-curing stub: straight-line code that makes a thread of the target do some system calls
// and then go on as if nothing had happened, whether or not the agent is still alive.
//
// It uses no stack, no flags, no callee-saved register, no signal mask and no sigreturn. It puts
// back the few registers that it used and jumps to where the thread was. One SETREGS commits it.
// The first call that does not give the expected result ends it early.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "agent/tracee/registers.h"

namespace time_chaos::vdso {

struct StubCall {
  std::string name;  // "mmap of the code page", for messages
  int64_t number = 0;
  std::array<uint64_t, 6> arguments{};
  int64_t expected = 0;  // result; anything else goes home at once
};

struct Stub {
  std::vector<uint8_t> bytes;
  uint64_t entry = 0;          // for a thread that the kernel sees in user mode
  uint64_t restart_entry = 0;  // for one in a restarting call: the kernel steps back from here to
                               // `entry`, or stays here if it delivers a signal, which leads home
                               // with the EINTR that the kernel has put into the result register
  std::vector<uint64_t> call_ends;  // the address behind each system call instruction
};

// The stub for a thread with registers `stopped`, to stand at `address`.
Stub generate_stub(const tracee::Registers& stopped, const std::vector<StubCall>& calls,
                   uint64_t address);

// An upper bound for the size of a stub with that many calls.
uint64_t stub_size_limit(size_t calls);

}  // namespace time_chaos::vdso
