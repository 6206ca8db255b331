// Stubs, instruction by instruction: what they may touch, and, run by a small interpreter, that the
// thread comes home with the registers it came with, whatever its calls return.
#include "agent/vdso/stub.h"

#include <Zydis/Zydis.h>
#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <random>

namespace time_chaos::vdso {
namespace {

using tracee::Registers;
constexpr uint64_t kAt = 0x7ffff7fc2a08;
constexpr uint64_t kBehindSyscall = 0x55555555a002;

// The general registers by Zydis' numbers: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8..r15.
using Values = std::map<ZydisRegister, uint64_t>;
Values values_of(const Registers& r) {
  const auto& raw = r.raw;
  return {
      {ZYDIS_REGISTER_RAX, raw.rax}, {ZYDIS_REGISTER_RCX, raw.rcx}, {ZYDIS_REGISTER_RDX, raw.rdx},
      {ZYDIS_REGISTER_RBX, raw.rbx}, {ZYDIS_REGISTER_RSP, raw.rsp}, {ZYDIS_REGISTER_RBP, raw.rbp},
      {ZYDIS_REGISTER_RSI, raw.rsi}, {ZYDIS_REGISTER_RDI, raw.rdi}, {ZYDIS_REGISTER_R8, raw.r8},
      {ZYDIS_REGISTER_R9, raw.r9},   {ZYDIS_REGISTER_R10, raw.r10}, {ZYDIS_REGISTER_R11, raw.r11},
      {ZYDIS_REGISTER_R12, raw.r12}, {ZYDIS_REGISTER_R13, raw.r13}, {ZYDIS_REGISTER_R14, raw.r14},
      {ZYDIS_REGISTER_R15, raw.r15}};
}

bool may_be_written(ZydisRegister reg) {
  if (reg == ZYDIS_REGISTER_RIP) return true;  // a jump
  switch (ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg)) {
    case ZYDIS_REGISTER_RAX:
    case ZYDIS_REGISTER_RCX:
    case ZYDIS_REGISTER_RDX:
    case ZYDIS_REGISTER_RSI:
    case ZYDIS_REGISTER_RDI:
    case ZYDIS_REGISTER_R8:
    case ZYDIS_REGISTER_R9:
    case ZYDIS_REGISTER_R10:
    case ZYDIS_REGISTER_R11:
      return true;
    default:
      return false;
  }
}

struct Instruction {
  ZydisDecodedInstruction decoded{};
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT]{};
};

struct MadeCall {
  uint64_t number;
  std::array<uint64_t, 6> arguments;
  bool operator==(const MadeCall&) const = default;
};

// Runs a stub as a CPU would, and refuses what a stub must not do.
class Interpreter {
 public:
  Interpreter(const Stub& stub, const Registers& start) : stub_(stub), values_(values_of(start)) {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  }

  // Until it leaves the stub. `kernel` answers its calls.
  void run(uint64_t ip, const std::function<int64_t(const MadeCall&)>& kernel) {
    kernel_ = kernel;
    ip_ = ip;
    for (int steps = 0; inside(ip_); steps++) {
      ASSERT_LT(steps, 1000);
      ASSERT_NO_FATAL_FAILURE(step());
    }
  }

  [[nodiscard]] uint64_t ip() const { return ip_; }
  [[nodiscard]] const Values& values() const { return values_; }
  [[nodiscard]] const std::vector<MadeCall>& calls() const { return calls_; }

 private:
  [[nodiscard]] bool inside(uint64_t address) const { return address - kAt < stub_.bytes.size(); }

  void step() {
    Instruction in;
    const uint64_t offset = ip_ - kAt;
    ASSERT_TRUE(
        ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_, stub_.bytes.data() + offset,
                                            stub_.bytes.size() - offset, &in.decoded, in.operands)))
        << "no instruction at +" << offset;
    ASSERT_NO_FATAL_FAILURE(check_manners(in));
    execute(in);
  }

  static void check_manners(const Instruction& in) {
    const char* name = ZydisMnemonicGetString(in.decoded.mnemonic);
    const bool kernel = in.decoded.mnemonic == ZYDIS_MNEMONIC_SYSCALL;
    for (int i = 0; i < in.decoded.operand_count; i++) {
      const ZydisDecodedOperand& operand = in.operands[i];
      if ((operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) continue;
      ASSERT_EQ(operand.type, ZYDIS_OPERAND_TYPE_REGISTER) << name << " writes memory";
      if (kernel) continue;  // rip, rcx, r11; the kernel puts the flags back
      ASSERT_TRUE(may_be_written(operand.reg.value))
          << name << " writes " << ZydisRegisterGetString(operand.reg.value);
    }
    if (kernel) return;
    switch (in.decoded.meta.category) {
      case ZYDIS_CATEGORY_PUSH:
      case ZYDIS_CATEGORY_POP:
      case ZYDIS_CATEGORY_CALL:
      case ZYDIS_CATEGORY_RET:
        FAIL() << name;
      default:
        break;
    }
    const ZydisAccessedFlags* flags = in.decoded.cpu_flags;
    if (flags == nullptr) return;
    ASSERT_EQ(flags->modified | flags->set_0 | flags->set_1 | flags->undefined, 0U)
        << name << " writes flags";
  }

  void execute(const Instruction& in) {
    const uint64_t next = ip_ + in.decoded.length;
    const auto immediate = [&](int i) { return in.operands[i].imm.value.u; };
    switch (in.decoded.mnemonic) {
      case ZYDIS_MNEMONIC_MOV:
        values_[ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64,
                                                 in.operands[0].reg.value)] =
            in.decoded.operand_width == 32 ? immediate(1) & 0xffffffff : immediate(1);
        break;
      case ZYDIS_MNEMONIC_LEA:
        values_[in.operands[0].reg.value] =
            values_[in.operands[1].mem.base] + values_[in.operands[1].mem.index];
        break;
      case ZYDIS_MNEMONIC_SYSCALL:
        call(next);
        break;
      case ZYDIS_MNEMONIC_JRCXZ:
        ip_ = values_[ZYDIS_REGISTER_RCX] == 0 ? next + immediate(0) : next;
        return;
      case ZYDIS_MNEMONIC_JMP:
        jump(in, next);
        return;
      default:
        FAIL() << "a stub has no " << ZydisMnemonicGetString(in.decoded.mnemonic);
    }
    ip_ = next;
  }

  void jump(const Instruction& in, uint64_t next) {
    if (in.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
      ip_ = next + in.operands[0].imm.value.u;
      return;
    }
    ASSERT_EQ(in.operands[0].mem.base, ZYDIS_REGISTER_RIP);
    const uint64_t at = next + static_cast<uint64_t>(in.operands[0].mem.disp.value) - kAt;
    ASSERT_LE(at + 8, stub_.bytes.size());
    std::memcpy(&ip_, stub_.bytes.data() + at, sizeof ip_);
  }

  void call(uint64_t next) {
    calls_.push_back(
        {values_[ZYDIS_REGISTER_RAX],
         {values_[ZYDIS_REGISTER_RDI], values_[ZYDIS_REGISTER_RSI], values_[ZYDIS_REGISTER_RDX],
          values_[ZYDIS_REGISTER_R10], values_[ZYDIS_REGISTER_R8], values_[ZYDIS_REGISTER_R9]}});
    ASSERT_TRUE(std::count(stub_.call_ends.begin(), stub_.call_ends.end(), next)) << "call_ends";
    values_[ZYDIS_REGISTER_RAX] = static_cast<uint64_t>(kernel_(calls_.back()));
    values_[ZYDIS_REGISTER_RCX] = next;
    values_[ZYDIS_REGISTER_R11] = 0x246;
  }

  const Stub& stub_;
  Values values_;
  ZydisDecoder decoder_{};
  uint64_t ip_ = 0;
  std::function<int64_t(const MadeCall&)> kernel_;
  std::vector<MadeCall> calls_;
};

class Random {
 public:
  // Small, negative, 32 and 64 bits: every encoding of a constant.
  uint64_t value() {
    switch (random_() % 6) {
      case 0:
        return random_() % 3;
      case 1:
        return ~(random_() % 3);
      case 2:
        return random_() & 0xffffffff;
      case 3:
        return 0xffffffff80000000 - 1 + random_() % 3;
      case 4:
        return 0xffffffff - 1 + random_() % 3;
      default:
        return random_();
    }
  }
  Registers registers() {
    Registers r;
    auto& raw = r.raw;
    for (auto* reg : {&raw.rax, &raw.rcx, &raw.rdx, &raw.rbx, &raw.rbp, &raw.rsi, &raw.rdi, &raw.r8,
                      &raw.r9, &raw.r10, &raw.r11, &raw.r12, &raw.r13, &raw.r14, &raw.r15}) {
      *reg = value();
    }
    raw.rsp = 0x7ffffffde000;
    raw.rip = kBehindSyscall;
    raw.orig_rax = static_cast<uint64_t>(-1);
    return r;
  }
  std::vector<StubCall> calls(size_t count) {
    std::vector<StubCall> calls;
    for (size_t i = 0; i < count; i++) {
      calls.push_back({"call",
                       static_cast<int64_t>(random_() % 400),
                       {value(), value(), value(), value(), value(), value()},
                       static_cast<int64_t>(value())});
    }
    return calls;
  }
  uint64_t below(uint64_t bound) { return random_() % bound; }

 private:
  std::mt19937_64 random_{5};
};

void expect_home(const Interpreter& run, const Registers& home) {
  EXPECT_EQ(run.ip(), home.ip());
  for (const auto& [reg, value] : values_of(home)) {
    EXPECT_EQ(run.values().at(reg), value) << ZydisRegisterGetString(reg);
  }
}

TEST(Stub, MakesItsCallsAndComesHome) {
  Random random;
  for (int round = 0; round < 800; round++) {
    Registers stopped = random.registers();
    const auto calls = random.calls(1 + random.below(6));
    const Stub stub = generate_stub(stopped, calls, kAt);
    ASSERT_LE(stub.bytes.size(), stub_size_limit(calls.size()));
    ASSERT_EQ(stub.entry, kAt);
    ASSERT_EQ(stub.call_ends.size(), calls.size());
    Interpreter run(stub, stopped);
    size_t made = 0;
    ASSERT_NO_FATAL_FAILURE(run.run(stub.entry, [&](const MadeCall& call) {
      const StubCall& wanted = calls.at(made++);
      EXPECT_EQ(call, (MadeCall{static_cast<uint64_t>(wanted.number), wanted.arguments}));
      return wanted.expected;
    }));
    ASSERT_EQ(made, calls.size());
    ASSERT_NO_FATAL_FAILURE(expect_home(run, stopped));
    ASSERT_FALSE(HasFailure());
  }
}

TEST(Stub, GoesHomeAtTheFirstCallThatFails) {
  Random random;
  for (int round = 0; round < 800; round++) {
    const Registers stopped = random.registers();
    const auto calls = random.calls(1 + random.below(6));
    const Stub stub = generate_stub(stopped, calls, kAt);
    Interpreter run(stub, stopped);
    const size_t bad = random.below(calls.size());
    size_t made = 0;
    ASSERT_NO_FATAL_FAILURE(run.run(stub.entry, [&](const MadeCall&) {
      const int64_t right = calls.at(made).expected;
      const int64_t wrong = random.below(2) == 0 ? -12 : static_cast<int64_t>(right ^ 1);
      return made++ == bad && wrong != right ? wrong : right;
    }));
    ASSERT_NO_FATAL_FAILURE(expect_home(run, stopped));
    ASSERT_GE(made, bad + 1);
    ASSERT_TRUE(made == bad + 1 || calls.at(bad).expected == -12) << made << " " << bad;
    ASSERT_FALSE(HasFailure());
  }
}

// The kernel steps back two bytes to run a call again; in a stub that leads to its entry.
TEST(Stub, TheKernelsRestartLeadsToTheEntry) {
  Registers stopped = Random().registers();
  stopped.raw.orig_rax = SYS_nanosleep;
  for (const int64_t code : {int64_t{-512}, int64_t{-516}}) {
    stopped.set_result(code);
    const Stub stub = generate_stub(stopped, Random().calls(2), kAt);
    EXPECT_EQ(stub.restart_entry - 2, stub.entry);
    // At home the thread is at its own system call instruction, about to run it again.
    Interpreter run(stub, stopped);
    size_t made = 0;
    const auto calls = Random().calls(2);
    ASSERT_NO_FATAL_FAILURE(
        run.run(stub.entry, [&](const MadeCall&) { return calls.at(made++).expected; }));
    EXPECT_EQ(made, 2U);
    expect_home(run, stopped.resumed());
    EXPECT_EQ(run.ip(), kBehindSyscall - 2);
    EXPECT_EQ(run.values().at(ZYDIS_REGISTER_RAX),
              static_cast<uint64_t>(code == -516 ? SYS_restart_syscall : SYS_nanosleep));
  }
}

// Where it delivers a signal instead, the thread goes on behind its own call with what the kernel
// put into rax.
TEST(Stub, AnInterruptedCallReturnsAsIfNothingHadBeen) {
  Registers stopped = Random().registers();
  stopped.raw.orig_rax = SYS_poll;
  stopped.set_result(-516);
  const Stub stub = generate_stub(stopped, Random().calls(3), kAt);
  Registers interrupted = stopped;
  interrupted.set_result(-4);
  Interpreter run(stub, interrupted);
  ASSERT_NO_FATAL_FAILURE(run.run(stub.restart_entry, [](const MadeCall&) -> int64_t {
    ADD_FAILURE() << "no call is made on this way";
    return 0;
  }));
  expect_home(run, interrupted);
  EXPECT_EQ(run.ip(), kBehindSyscall);
}

TEST(Stub, FitsBehindEveryVdsoWithAllThatAnAttachNeeds) {
  // Five mmaps with 64-bit constants everywhere; Debian's smallest tail is what DESIGN §4 says.
  Random random;
  Registers worst = random.registers();
  std::vector<StubCall> calls(5, {"mmap", 9, {}, 0});
  for (auto& call : calls) call.arguments.fill(0x7ffff7fc0000);
  for (auto* reg : {&worst.raw.rax, &worst.raw.rcx, &worst.raw.rdx, &worst.raw.rsi, &worst.raw.rdi,
                    &worst.raw.r8, &worst.raw.r9, &worst.raw.r10, &worst.raw.r11}) {
    *reg = 0x7ffff7fc0000;
  }
  const size_t size = generate_stub(worst, calls, kAt).bytes.size();
  EXPECT_LE(size, stub_size_limit(calls.size()));
  EXPECT_LT(size, 1519U - 72U);
}

}  // namespace
}  // namespace time_chaos::vdso
