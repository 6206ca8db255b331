#include "agent/tracee/seccomp.h"

#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ptrace.h>

#include <cerrno>
#include <cstring>

namespace time_chaos::tracee {
namespace {

static_assert(sizeof(FilterInstruction) == sizeof(sock_filter));

constexpr int kGetFilter = 0x420c;        // PTRACE_SECCOMP_GET_FILTER
constexpr uint64_t kSuspend = 1U << 21U;  // PTRACE_O_SUSPEND_SECCOMP
constexpr char kForceRemedy[] =
    "--force suspends the filter for the moment of the attach (if the agent is killed in that "
    "moment, the filter may kill the target)";

constexpr char kUnreadRemedy[] =
    "run with CAP_SYS_ADMIN and under no seccomp filter, or use --force, which takes it that the "
    "filter lets mmap pass, as those of container runtimes do (one that kills would kill the "
    "target)";

struct Machine {
  uint32_t a = 0;
  uint32_t x = 0;
  uint32_t memory[BPF_MEMWORDS] = {};
};

uint32_t operate(uint16_t operation, uint32_t a, uint32_t b) {
  switch (operation) {
    case BPF_ADD:
      return a + b;
    case BPF_SUB:
      return a - b;
    case BPF_MUL:
      return a * b;
    case BPF_DIV:
      return a / b;
    case BPF_AND:
      return a & b;
    case BPF_OR:
      return a | b;
    case BPF_XOR:
      return a ^ b;
    case BPF_LSH:
      return a << (b & 31U);
    case BPF_RSH:
      return a >> (b & 31U);
    default:  // BPF_NEG
      return 0U - a;
  }
}

bool holds(uint16_t comparison, uint32_t a, uint32_t b) {
  switch (comparison) {
    case BPF_JEQ:
      return a == b;
    case BPF_JGT:
      return a > b;
    case BPF_JGE:
      return a >= b;
    default:
      return (a & b) != 0;  // BPF_JSET
  }
}

std::string action_name(uint32_t action) {
  switch (action & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_KILL_PROCESS:
      return "kill the process";
    case SECCOMP_RET_KILL_THREAD:
      return "kill the thread";
    case SECCOMP_RET_TRAP:
      return "send SIGSYS";
    case SECCOMP_RET_ERRNO:
      return fmt::format("fail it with errno {}", action & SECCOMP_RET_DATA);
    case SECCOMP_RET_USER_NOTIF:
      return "ask a supervisor";
    case SECCOMP_RET_TRACE:
      return "ask a tracer";
    default:
      return fmt::format("answer {:#x}", action);
  }
}

bool passes(uint32_t action) {
  const uint32_t kind = action & SECCOMP_RET_ACTION_FULL;
  return kind == SECCOMP_RET_ALLOW || kind == SECCOMP_RET_LOG;
}

// As kernel/seccomp.c, seccomp_check_filter, and net/core/filter.c, bpf_check_classic: whole words
// of the data by a fixed offset, scratch memory, and no modulo.
Status check_instruction(const FilterInstruction& in) {
  switch (in.code) {
    case BPF_LD | BPF_W | BPF_ABS:
      if (in.k > sizeof(seccomp_data) - 4 || in.k % 4 != 0) {
        return fail(Exit::kFailed, "a seccomp filter reads too far");
      }
      return {};
    case BPF_LD | BPF_MEM:
    case BPF_LDX | BPF_MEM:
    case BPF_ST:
    case BPF_STX:
      if (in.k >= BPF_MEMWORDS) return fail(Exit::kFailed, "a seccomp filter stores too far");
      return {};
    case BPF_LD | BPF_IMM:
    case BPF_LDX | BPF_IMM:
    case BPF_LD | BPF_W | BPF_LEN:
    case BPF_LDX | BPF_W | BPF_LEN:
    case BPF_ALU | BPF_NEG:
    case BPF_JMP | BPF_JA:
    case BPF_RET | BPF_K:
    case BPF_RET | BPF_A:
    case BPF_MISC | BPF_TAX:
    case BPF_MISC | BPF_TXA:
      return {};
    default:
      break;
  }
  switch (in.code & ~BPF_X) {  // by a constant, or by X
    case BPF_ALU | BPF_ADD:
    case BPF_ALU | BPF_SUB:
    case BPF_ALU | BPF_MUL:
    case BPF_ALU | BPF_DIV:
    case BPF_ALU | BPF_AND:
    case BPF_ALU | BPF_OR:
    case BPF_ALU | BPF_XOR:
    case BPF_ALU | BPF_LSH:
    case BPF_ALU | BPF_RSH:
    case BPF_JMP | BPF_JEQ:
    case BPF_JMP | BPF_JGT:
    case BPF_JMP | BPF_JGE:
    case BPF_JMP | BPF_JSET:
      return {};
    default:
      return fail(Exit::kFailed, "unknown instruction in a seccomp filter");
  }
}

}  // namespace

Result<uint32_t> evaluate(std::span<const FilterInstruction> filter, const PlannedCall& call) {
  seccomp_data data{};
  data.nr = static_cast<int>(call.number);
  data.arch = call.arch;
  data.instruction_pointer = call.instruction_pointer;
  for (size_t i = 0; i < 6; i++) data.args[i] = call.arguments[i];

  Machine m;
  // Jumps go forward only, so every instruction runs at most once.
  for (size_t pc = 0; pc < filter.size(); pc++) {
    const FilterInstruction& in = filter[pc];
    TC_CHECK(check_instruction(in));
    const auto slot = in.k % BPF_MEMWORDS;  // checked, where it is one
    switch (BPF_CLASS(in.code)) {
      case BPF_LD:
        if (BPF_MODE(in.code) == BPF_ABS) {
          std::memcpy(&m.a, reinterpret_cast<const char*>(&data) + in.k, 4);
        } else if (BPF_MODE(in.code) == BPF_LEN) {
          m.a = sizeof data;
        } else {
          m.a = BPF_MODE(in.code) == BPF_MEM ? m.memory[slot] : in.k;
        }
        break;
      case BPF_LDX:
        m.x = BPF_MODE(in.code) == BPF_MEM   ? m.memory[slot]
              : BPF_MODE(in.code) == BPF_LEN ? static_cast<uint32_t>(sizeof data)
                                             : in.k;
        break;
      case BPF_ST:
        m.memory[slot] = m.a;
        break;
      case BPF_STX:
        m.memory[slot] = m.x;
        break;
      case BPF_ALU: {
        const uint32_t operand = BPF_SRC(in.code) == BPF_X ? m.x : in.k;
        // Ends the filter with 0, as in the kernel (net/core/filter.c, bpf_convert_filter).
        if (BPF_OP(in.code) == BPF_DIV && operand == 0) return SECCOMP_RET_KILL_THREAD;
        m.a = operate(BPF_OP(in.code), m.a, operand);
        break;
      }
      case BPF_JMP:
        if (BPF_OP(in.code) == BPF_JA) {
          pc += in.k;
        } else {
          const uint32_t operand = BPF_SRC(in.code) == BPF_X ? m.x : in.k;
          pc += holds(BPF_OP(in.code), m.a, operand) ? in.jump_true : in.jump_false;
        }
        break;
      case BPF_RET:
        return BPF_RVAL(in.code) == BPF_A ? m.a : in.k;
      default:  // BPF_MISC
        if (BPF_MISCOP(in.code) == BPF_TAX) m.x = m.a;
        if (BPF_MISCOP(in.code) == BPF_TXA) m.a = m.x;
    }
  }
  return fail(Exit::kFailed, "a seccomp filter ends without an answer");
}

Result<std::vector<std::vector<FilterInstruction>>> read_filters(const SeizedThread& stopped) {
  std::vector<std::vector<FilterInstruction>> filters;
  for (uint64_t index = 0;; index++) {
    std::vector<FilterInstruction> filter(BPF_MAXINSNS);
    const long count =
        ::ptrace(static_cast<__ptrace_request>(kGetFilter), stopped.tid(), index, filter.data());
    if (count < 0) {
      if (errno == ENOENT) break;  // no more filters
      return fail(Error::from_errno(errno, "read the seccomp filter"));
    }
    filter.resize(static_cast<size_t>(count));
    filters.push_back(std::move(filter));
  }
  return filters;
}

Status check_allowed(const SeizedThread& stopped, int seccomp_mode,
                     std::span<const PlannedCall> calls) {
  if (seccomp_mode == 0) return {};
  if (seccomp_mode == 1) {
    return fail(Exit::kNotPermitted, "it runs under strict seccomp, which would kill it",
                kForceRemedy);
  }
  const auto filters = read_filters(stopped);
  if (!filters) {
    return fail(Error(Exit::kNotPermitted,
                      "its seccomp filter cannot be read: " + filters.error().message(),
                      kUnreadRemedy));
  }
  for (const PlannedCall& call : calls) {
    for (const auto& filter : *filters) {
      TC_TRY(const uint32_t action, evaluate(filter, call));
      if (passes(action)) continue;
      return fail(Exit::kNotPermitted,
                  fmt::format("its seccomp filter would {} at {}", action_name(action), call.name),
                  kForceRemedy);
    }
  }
  return {};
}

Status suspend_filters(SeizedThread& stopped) {
  auto done = stopped.set_options(kSuspend);
  if (!done) {
    return fail(done.error()
                    .because_of("cannot suspend the seccomp filter")
                    .with_remedy("--force needs CAP_SYS_ADMIN outside any seccomp filter"));
  }
  return {};
}

Status force_through(SeizedThread& stopped, int seccomp_mode, std::span<const PlannedCall> calls) {
  auto suspended = suspend_filters(stopped);
  if (suspended || seccomp_mode == 1) return suspended;
  if (!read_filters(stopped)) return {};
  return check_allowed(stopped, seccomp_mode, calls) ? Status() : suspended;
}

}  // namespace time_chaos::tracee
