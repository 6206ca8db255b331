// x86-64 stubs.
#include <cstring>
#include <limits>

#include "agent/vdso/stub.h"

namespace time_chaos::vdso {
namespace {

// Register numbers as instructions encode them.
enum Reg {
  kRax = 0,
  kRcx = 1,
  kRdx = 2,
  kRsi = 6,
  kRdi = 7,
  kR8 = 8,
  kR9 = 9,
  kR10 = 10,
  kR11 = 11
};
constexpr Reg kArgumentRegs[] = {kRdi, kRsi, kRdx, kR10, kR8, kR9};

class Assembler {
 public:
  explicit Assembler(std::vector<uint8_t>* out) : out_(out) {}

  [[nodiscard]] size_t size() const { return out_->size(); }
  void bytes(std::initializer_list<uint8_t> list) { out_->insert(out_->end(), list); }
  template <typename T>
  void value(T v) {
    uint8_t raw[sizeof v];
    std::memcpy(raw, &v, sizeof v);
    out_->insert(out_->end(), raw, raw + sizeof v);
  }

  // The shortest mov that loads a constant; none of them touches flags.
  void load(Reg reg, uint64_t v) {
    const auto low = static_cast<uint8_t>(reg & 7);
    const bool high = reg > 7;
    const auto as_signed = static_cast<int64_t>(v);
    if (v <= std::numeric_limits<uint32_t>::max()) {
      if (high) bytes({0x41});
      bytes({static_cast<uint8_t>(0xb8 | low)});
      value(static_cast<uint32_t>(v));
    } else if (as_signed >= std::numeric_limits<int32_t>::min() && as_signed < 0) {
      bytes({static_cast<uint8_t>(high ? 0x49 : 0x48), 0xc7, static_cast<uint8_t>(0xc0 | low)});
      value(static_cast<int32_t>(as_signed));
    } else {
      bytes({static_cast<uint8_t>(high ? 0x49 : 0x48), static_cast<uint8_t>(0xb8 | low)});
      value(v);
    }
  }
  void jump_to(uint64_t address) {  // jmp [rip + 0]
    bytes({0xff, 0x25, 0, 0, 0, 0});
    value(address);
  }
  void patch32(size_t at, size_t target) {  // a rel32 that ends at at + 4
    const auto distance =
        static_cast<int32_t>(static_cast<int64_t>(target) - static_cast<int64_t>(at + 4));
    std::memcpy(out_->data() + at, &distance, sizeof distance);
  }

 private:
  std::vector<uint8_t>* out_;
};

}  // namespace

uint64_t stub_size_limit(size_t calls) {
  return 16 + calls * 90 + 9 * 10 + 14;
}

Stub generate_stub(const tracee::Registers& stopped, const std::vector<StubCall>& calls,
                   uint64_t address) {
  Stub stub;
  Assembler code(&stub.bytes);
  const tracee::Registers home = stopped.resumed();

  // entry: jmp short over the EINTR exit. It is two bytes, the length of a syscall instruction, so
  // that the kernel's own "back to the syscall" leads from restart_entry to entry.
  stub.entry = address;
  code.bytes({0xeb, 14});
  stub.restart_entry = address + code.size();
  code.jump_to(stopped.ip());

  std::vector<size_t> exits;
  for (size_t i = 0; i < calls.size(); i++) {
    const StubCall& call = calls[i];
    code.load(kRax, static_cast<uint64_t>(call.number));
    for (size_t a = 0; a < 6; a++) code.load(kArgumentRegs[a], call.arguments[a]);
    code.bytes({0x0f, 0x05});  // syscall
    stub.call_ends.push_back(address + code.size());
    if (i + 1 == calls.size()) break;
    // rcx = result - expected, without touching flags; jrcxz over the way home.
    code.load(kRcx, static_cast<uint64_t>(-call.expected));
    code.bytes({0x48, 0x8d, 0x0c, 0x08});  // lea rcx, [rax + rcx]
    code.bytes({0xe3, 5, 0xe9});           // jrcxz +5; jmp home
    exits.push_back(code.size());
    code.value<int32_t>(0);
  }
  for (const size_t at : exits) code.patch32(at, code.size());

  code.load(kRax, home.raw.rax);
  code.load(kRcx, home.raw.rcx);
  code.load(kRdx, home.raw.rdx);
  code.load(kRsi, home.raw.rsi);
  code.load(kRdi, home.raw.rdi);
  code.load(kR8, home.raw.r8);
  code.load(kR9, home.raw.r9);
  code.load(kR10, home.raw.r10);
  code.load(kR11, home.raw.r11);
  code.jump_to(home.ip());
  return stub;
}

}  // namespace time_chaos::vdso
