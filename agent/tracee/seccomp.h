// Seccomp filters of a target: would a system call that we want its thread to make be allowed?
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/tracee/seized_thread.h"

namespace time_chaos::tracee {

struct PlannedCall {
  int64_t number = 0;
  std::array<uint64_t, 6> arguments{};
  uint64_t instruction_pointer = 0;  // behind the system call instruction
  std::string name;                  // "mmap", for messages
  uint32_t arch = audit_arch();      // AUDIT_ARCH_*
};

// One instruction of classic BPF (struct sock_filter, linux/filter.h).
struct FilterInstruction {
  uint16_t code = 0;
  uint8_t jump_true = 0;
  uint8_t jump_false = 0;
  uint32_t k = 0;
};

// What the filter returns for the call: an SECCOMP_RET_ value. kFailed for an instruction that
// seccomp does not have (kernel/seccomp.c, seccomp_check_filter).
Result<uint32_t> evaluate(std::span<const FilterInstruction> filter, const PlannedCall& call);

// Every filter of the stopped thread, newest first. Needs CAP_SYS_ADMIN.
Result<std::vector<std::vector<FilterInstruction>>> read_filters(const SeizedThread& stopped);

// kNotPermitted, naming the call and what the filter would do, unless every filter lets every call
// pass. `seccomp_mode`: as in /proc/PID/status.
Status check_allowed(const SeizedThread& stopped, int seccomp_mode,
                     std::span<const PlannedCall> calls);

// While the tracer lives, the thread's filters do not apply (PTRACE_O_SUSPEND_SECCOMP,
// CAP_SYS_ADMIN).
Status suspend_filters(SeizedThread& stopped);

// What --force asks for: suspended filters; or filters that allow the calls; or, where they can be
// neither suspended nor read, as by an agent in a container, that the calls be tried: a filter that
// fails them is then met as any other failure is, one that kills is the risk.
Status force_through(SeizedThread& stopped, int seccomp_mode, std::span<const PlannedCall> calls);

}  // namespace time_chaos::tracee
