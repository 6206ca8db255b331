// x86-64:  syscall; mov each of the six, its value; mov rax, NUMBER; mov rcx, IP; jmp rcx
// i386:    int 0x80; mov each of the six, its value; mov eax, NUMBER; jmp IP
// As in call_slot_x86_64.cc: rcx and r11 do not survive a system call anyway.
#include <algorithm>
#include <cstring>

#include "agent/tracee/own_call.h"

namespace time_chaos::tracee {
namespace {

using Code = std::array<uint8_t, kOwnCallCode>;

constexpr uint64_t kInstruction = 2;
constexpr uint16_t kSyscall = 0x050f;
constexpr uint16_t kInt80 = 0x80cd;
// The first two bytes of `mov r64, imm64`, of `mov r32, imm32` one: by argument, then rax.
constexpr uint8_t kMove[7][2] = {{0x48, 0xbf}, {0x48, 0xbe}, {0x48, 0xba}, {0x49, 0xba},
                                 {0x49, 0xb8}, {0x49, 0xb9}, {0x48, 0xb8}};
constexpr uint8_t kNarrowMove[7] = {0xbb, 0xb9, 0xba, 0xbe, 0xbf, 0xbd, 0xb8};
constexpr uint8_t kMoveRcx[] = {0x48, 0xb9};
constexpr uint8_t kJumpRcx[] = {0xff, 0xe1};
constexpr uint8_t kJump = 0xe9;
constexpr size_t kNarrowJump = 2 + 7 * 5;  // where it is

template <typename T>
T read(std::span<const uint8_t> code, size_t at) {
  T value{};
  std::memcpy(&value, code.data() + at, sizeof value);
  return value;
}

class Writer {
 public:
  explicit Writer(Code& code) : code_(code) {}
  template <typename T>
  void value(const T& value) {
    std::memcpy(code_.data() + at_, &value, sizeof value);
    at_ += sizeof value;
  }

 private:
  Code& code_;
  size_t at_ = 0;
};

uint64_t value_of(const Home& home, size_t index) {
  return index < 6 ? home.arguments[index] : home.result;
}

Home parse_wide(std::span<const uint8_t> code) {
  Home home;
  for (size_t i = 0; i < 6; i++) home.arguments[i] = read<uint64_t>(code, 4 + i * 10);
  home.result = read<uint64_t>(code, 64);
  home.ip = read<uint64_t>(code, 74);
  return home;
}

Home parse_narrow(std::span<const uint8_t> code, uint64_t at) {
  Home home;
  for (size_t i = 0; i < 6; i++) home.arguments[i] = read<uint32_t>(code, 3 + i * 5);
  home.result = read<uint32_t>(code, 33);
  home.ip = static_cast<uint32_t>(at + kNarrowJump + 5 + read<uint32_t>(code, kNarrowJump + 1));
  home.narrow = true;
  return home;
}

}  // namespace

Home call_again(const Registers& entry, bool narrow) {
  Home home;
  for (int i = 0; i < 6; i++) {
    home.arguments[static_cast<size_t>(i)] = narrow ? entry.narrow_argument(i) : entry.argument(i);
  }
  const auto number = static_cast<uint64_t>(entry.call());
  home.result = narrow ? static_cast<uint32_t>(number) : number;
  home.ip = entry.ip() - kInstruction;
  home.narrow = narrow;
  return home;
}

Code own_call_code(const Home& home, uint64_t at) {
  Code code{};
  Writer writer(code);
  writer.value(home.narrow ? kInt80 : kSyscall);
  for (size_t i = 0; i < 7; i++) {
    if (home.narrow) {
      writer.value(kNarrowMove[i]);
      writer.value(static_cast<uint32_t>(value_of(home, i)));
    } else {
      writer.value(kMove[i]);
      writer.value(value_of(home, i));
    }
  }
  if (home.narrow) {
    writer.value(kJump);
    writer.value(static_cast<uint32_t>(home.ip - (at + kNarrowJump + 5)));
  } else {
    writer.value(kMoveRcx);
    writer.value(home.ip);
    writer.value(kJumpRcx);
  }
  return code;
}

std::optional<Home> parse_own_call(std::span<const uint8_t> code, uint64_t at) {
  if (code.size() < kOwnCallCode) return std::nullopt;
  for (const Home& guess : {parse_wide(code), parse_narrow(code, at)}) {
    const Code wanted = own_call_code(guess, at);
    if (std::equal(wanted.begin(), wanted.end(), code.begin())) return guess;
  }
  return std::nullopt;
}

Registers through_own_call(const Registers& entry, const OwnCall& call, bool narrow, uint64_t at) {
  Registers next = entry;
  for (int i = 0; i < 6; i++) {
    next.set_argument(i, call.arguments[static_cast<size_t>(i)], narrow);
  }
  next.set_call(call.number);
  next.set_ip(at + kInstruction);
  return next;
}

Registers at_home(const Registers& stopped, const Home& home) {
  Registers next = stopped;
  for (int i = 0; i < 6; i++) {
    next.set_argument(i, home.arguments[static_cast<size_t>(i)], home.narrow);
  }
  next.set_result(static_cast<int64_t>(home.result));
  next.set_ip(home.ip);
  next.leave_call();
  return next;
}

}  // namespace time_chaos::tracee
