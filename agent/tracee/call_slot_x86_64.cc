// x86-64:  syscall; mov ARGUMENT, its value; mov rcx, where it was made; jmp rcx
// i386:    int 0x80; mov ARGUMENT, its value; jmp to where it was made
// Behind `syscall` rcx holds that address anyway. Neither flags nor stack are touched, and the
// instruction is two bytes long in all forms, which is what the kernel goes back to repeat a call.
#include <algorithm>
#include <cstring>

#include "agent/tracee/call_slot.h"

namespace time_chaos::tracee {
namespace {

using Code = std::array<uint8_t, kSlotCode>;

constexpr uint64_t kInstruction = 2;
constexpr uint8_t kJumpRcx[] = {0xff, 0xe1};
// The first two bytes of `mov r64, imm64`, of `mov r32, imm32` one, by argument.
constexpr uint8_t kMove[6][2] = {{0x48, 0xbf}, {0x48, 0xbe}, {0x48, 0xba},
                                 {0x49, 0xba}, {0x49, 0xb8}, {0x49, 0xb9}};
constexpr uint8_t kNarrowMove[6] = {0xbb, 0xb9, 0xba, 0xbe, 0xbf, 0xbd};

class Writer {
 public:
  explicit Writer(Code& code) : code_(code) {}
  void byte(uint8_t value) { code_[at_++] = value; }
  template <typename T>
  void value(T value) {
    std::memcpy(code_.data() + at_, &value, sizeof value);
    at_ += sizeof value;
  }
  [[nodiscard]] size_t at() const { return at_; }

 private:
  Code& code_;
  size_t at_ = 0;
};

template <typename T>
T read(std::span<const uint8_t> code, size_t at) {
  T value{};
  std::memcpy(&value, code.data() + at, sizeof value);
  return value;
}

ReplacedArgument parse_wide(std::span<const uint8_t> code, int index) {
  return {index, read<uint64_t>(code, 4), read<uint64_t>(code, 14), false};
}

ReplacedArgument parse_narrow(std::span<const uint8_t> code, int index, uint64_t slot) {
  const auto distance = read<uint32_t>(code, 8);
  const auto ip = static_cast<uint32_t>(slot + 12 + distance);
  return {index, read<uint32_t>(code, 3), ip, true};
}

}  // namespace

Code slot_code(const ReplacedArgument& replaced, uint64_t slot) {
  Code code{};
  Writer writer(code);
  const auto index = static_cast<size_t>(replaced.index);
  if (replaced.narrow) {
    writer.value<uint16_t>(0x80cd);
    writer.byte(kNarrowMove[index]);
    writer.value(static_cast<uint32_t>(replaced.value));
    writer.byte(0xe9);
    writer.value(static_cast<uint32_t>(replaced.ip - (slot + writer.at() + 4)));
    return code;
  }
  writer.value<uint16_t>(0x050f);
  writer.byte(kMove[index][0]);
  writer.byte(kMove[index][1]);
  writer.value(replaced.value);
  writer.byte(0x48);
  writer.byte(0xb9);
  writer.value(replaced.ip);
  writer.byte(kJumpRcx[0]);
  writer.byte(kJumpRcx[1]);
  return code;
}

std::optional<ReplacedArgument> parse_slot(std::span<const uint8_t> code, uint64_t slot) {
  if (code.size() < kSlotCode) return std::nullopt;
  for (int index = 0; index < 6; index++) {
    for (const ReplacedArgument& guess :
         {parse_wide(code, index), parse_narrow(code, index, slot)}) {
      const Code wanted = slot_code(guess, slot);
      if (std::equal(wanted.begin(), wanted.end(), code.begin())) return guess;
    }
  }
  return std::nullopt;
}

Registers through_slot(const Registers& entry, const ReplacedArgument& replaced, uint64_t slot,
                       uint64_t given) {
  Registers next = entry;
  next.set_argument(replaced.index, given, replaced.narrow);
  next.set_ip(slot + kInstruction);
  return next;
}

Registers put_back(const Registers& stopped, const ReplacedArgument& replaced, uint64_t slot) {
  Registers next = stopped;
  next.set_argument(replaced.index, replaced.value, replaced.narrow);
  next.set_ip(stopped.ip() == slot ? replaced.ip - kInstruction : replaced.ip);
  return next;
}

}  // namespace time_chaos::tracee
