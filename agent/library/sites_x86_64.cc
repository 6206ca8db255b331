// Reads the beginning of a function as far as its effects can be taken back: it saves registers by
// push, and sets registers that it has saved or that a call may change anyway.
#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "agent/library/sites.h"

namespace time_chaos::library {
namespace {

constexpr uint64_t kFurthest = 16;  // from the entry
constexpr uint8_t kPop = 0x58;
constexpr uint8_t kRexB = 0x41;

struct Instruction {
  ZydisDecodedInstruction decoded{};
  std::array<ZydisDecodedOperand, ZYDIS_MAX_OPERAND_COUNT> operands{};
};

std::optional<Instruction> decode(const ZydisDecoder& decoder, std::span<const uint8_t> code) {
  Instruction instruction;
  const auto status = ZydisDecoderDecodeFull(&decoder, code.data(), code.size(),
                                             &instruction.decoded, instruction.operands.data());
  if (!ZYAN_SUCCESS(status)) return std::nullopt;
  return instruction;
}

// 0..15 for a general register of any width.
std::optional<int> number(const ZydisDecodedOperand& operand) {
  if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER) return std::nullopt;
  const ZydisRegister whole =
      ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, operand.reg.value);
  if (ZydisRegisterGetClass(whole) != ZYDIS_REGCLASS_GPR64) return std::nullopt;
  return ZydisRegisterGetId(whole);
}

// System V: a call may change rax, rcx, rdx, r8 to r11; of these none carries an argument here.
bool is_scratch(int r) {
  return r <= 2 || (r >= 8 && r <= 11);
}

class Effects {
 public:
  // False: what this instruction does cannot be taken back.
  bool take(const Instruction& instruction) {
    switch (instruction.decoded.mnemonic) {
      case ZYDIS_MNEMONIC_ENDBR64:
        return true;
      case ZYDIS_MNEMONIC_PUSH:
        return push(instruction);
      case ZYDIS_MNEMONIC_MOV:
      case ZYDIS_MNEMONIC_MOVSXD:
      case ZYDIS_MNEMONIC_LEA:
        return set(instruction.operands[0]);
      default:
        return false;
    }
  }

  [[nodiscard]] std::vector<uint8_t> undo() const {
    std::vector<uint8_t> code;
    for (auto r = pushed_.rbegin(); r != pushed_.rend(); ++r) {
      if (*r >= 8) code.push_back(kRexB);
      code.push_back(static_cast<uint8_t>(kPop + (*r & 7)));
    }
    return code;
  }

 private:
  [[nodiscard]] static bool has(const std::vector<int>& list, int r) {
    return std::find(list.begin(), list.end(), r) != list.end();
  }

  bool push(const Instruction& instruction) {
    const auto r = number(instruction.operands[0]);
    constexpr int kStackPointer = 4;
    if (!r || *r == kStackPointer || has(changed_, *r)) return false;
    pushed_.push_back(*r);
    return true;
  }

  bool set(const ZydisDecodedOperand& into) {
    const auto r = number(into);
    if (!r || !(is_scratch(*r) || has(pushed_, *r))) return false;
    changed_.push_back(*r);
    return true;
  }

  std::vector<int> pushed_;
  std::vector<int> changed_;
};

}  // namespace

Result<std::vector<Site>> sites(const elf::VdsoImage& image, uint64_t entry) {
  ZydisDecoder decoder{};
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  const auto code = image.bytes().first(image.code_end());
  std::vector<Site> list;
  Effects effects;
  for (uint64_t at = entry; at < entry + kFurthest && at < code.size();) {
    const auto instruction = decode(decoder, code.subspan(at));
    if (!instruction) break;
    list.push_back({at, instruction->decoded.length, effects.undo()});
    if (!effects.take(*instruction)) break;
    at += instruction->decoded.length;
  }
  if (list.empty()) {
    return fail(Exit::kUnsupported,
                fmt::format("no instruction can be decoded at {:#x} of the vDSO", entry));
  }
  return list;
}

Result<std::vector<uint8_t>> jump_through(uint64_t from, uint64_t cell) {
  std::vector<uint8_t> code = {0xff, 0x25, 0, 0, 0, 0};
  const auto distance = static_cast<int64_t>(cell - (from + code.size()));
  const auto rel32 = static_cast<int32_t>(distance);
  if (rel32 != distance) return fail(Exit::kUnsupported, "a landing pad is too far away");
  std::memcpy(code.data() + 2, &rel32, sizeof rel32);
  return code;
}

}  // namespace time_chaos::library
