// Decodes with Zydis; what is refused, and why, is said at each refusal.
#include "agent/vdso/prologue.h"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>

namespace time_chaos::vdso {
namespace {

struct Instruction {
  ZydisDecodedInstruction decoded{};
  uint64_t offset = 0;

  [[nodiscard]] uint64_t end() const { return offset + decoded.length; }
  [[nodiscard]] std::string name() const { return ZydisMnemonicGetString(decoded.mnemonic); }

  // Where a direct branch goes (wraps below 0: then it is simply far outside).
  [[nodiscard]] std::optional<uint64_t> target() const {
    for (const auto& immediate : decoded.raw.imm) {
      if (immediate.is_relative) return end() + static_cast<uint64_t>(immediate.value.s);
    }
    return std::nullopt;
  }
};

class Decoder {
 public:
  explicit Decoder(const elf::VdsoImage& image)
      : code_(image.bytes().first(image.code_end())), begin_(image.code_begin()) {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  }

  // The instruction at `offset` of the image; nothing outside the code and where none can be
  // decoded.
  [[nodiscard]] std::optional<Instruction> at(uint64_t offset) const {
    if (offset < begin_ || offset >= code_.size()) return std::nullopt;
    Instruction instruction;
    instruction.offset = offset;
    const auto status = ZydisDecoderDecodeInstruction(&decoder_, nullptr, code_.data() + offset,
                                                      code_.size() - offset, &instruction.decoded);
    if (!ZYAN_SUCCESS(status)) return std::nullopt;
    return instruction;
  }

 private:
  ZydisDecoder decoder_{};
  std::span<const uint8_t> code_;
  uint64_t begin_;
};

// Why the instruction may not run at another address; nothing when it may.
std::optional<std::string> why_fixed(const Instruction& instruction) {
  switch (instruction.decoded.meta.category) {
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_UNCOND_BR:
      return "branches";
    case ZYDIS_CATEGORY_CALL:
      return "calls";  // pushes its own address
    case ZYDIS_CATEGORY_RET:
      return "returns";  // what follows belongs to another function
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
      return "enters the kernel";  // which sees, and may change, rip
    case ZYDIS_CATEGORY_INTERRUPT:
      return "traps";
    default:
      break;
  }
  // Also rip-relative memory operands, and branches of categories of their own (xbegin).
  if ((instruction.decoded.attributes & ZYDIS_ATTRIB_IS_RELATIVE) != 0) return "depends on rip";
  return std::nullopt;
}

// Looks for direct branches into (entry, entry + kJumpSize). Decodes no offset twice, so that an
// image made of thousands of overlapping functions takes no longer than another.
class BranchSearch {
 public:
  BranchSearch(const elf::VdsoImage& image, uint64_t entry)
      : decoder_(image), entry_(entry), seen_(image.code_end()) {}

  // From `begin` on. Where nothing can be decoded it goes on one byte later: better a branch too
  // many than one too few.
  Status from(uint64_t begin) {
    for (uint64_t at = begin; at < seen_.size() && !seen_[at];) {
      seen_[at] = true;
      const auto instruction = decoder_.at(at);
      at = instruction ? instruction->end() : at + 1;
      if (instruction) TC_CHECK(check(*instruction));
    }
    return {};
  }

 private:
  [[nodiscard]] Status check(const Instruction& instruction) const {
    const auto target = instruction.target();
    if (!target || *target <= entry_ || *target >= entry_ + kJumpSize) return {};
    return fail(Exit::kUnsupported,
                fmt::format("the vDSO's {} at {:#x} branches to {:#x}, inside the jump at {:#x}",
                            instruction.name(), instruction.offset, *target, entry_));
  }

  Decoder decoder_;
  uint64_t entry_;
  std::vector<bool> seen_;
};

}  // namespace

Result<Prologue> read_prologue(const elf::VdsoImage& image, uint64_t offset, uint64_t at_least) {
  const Decoder decoder(image);
  Prologue prologue;
  uint64_t at = offset;
  while (at - offset < at_least) {
    const auto instruction = decoder.at(at);
    if (!instruction) {
      return fail(Exit::kUnsupported,
                  fmt::format("no instruction can be decoded at {:#x} of the vDSO", at));
    }
    if (const auto why = why_fixed(*instruction)) {
      return fail(Exit::kUnsupported,
                  fmt::format("the vDSO function at {:#x} cannot be relocated: its {} at {:#x} {}",
                              offset, instruction->name(), at, *why));
    }
    prologue.boundaries.push_back(static_cast<uint32_t>(at - offset));
    at = instruction->end();
  }
  const auto code = image.bytes().subspan(offset, at - offset);
  prologue.bytes.assign(code.begin(), code.end());
  return prologue;
}

Status check_no_branch_into(const elf::VdsoImage& image, uint64_t offset) {
  for (const auto& [name, symbol] : image.functions()) {
    if (symbol.offset > offset && symbol.offset < offset + kJumpSize) {
      return fail(Exit::kUnsupported,
                  fmt::format("the vDSO's {} begins at {:#x}, inside the jump at {:#x}", name,
                              symbol.offset, offset));
    }
  }
  // Linearly, for local functions; from every symbol, because data between functions can put the
  // linear pass out of step with the instructions.
  BranchSearch search(image, offset);
  TC_CHECK(search.from(image.code_begin()));
  for (const auto& [name, symbol] : image.functions()) TC_CHECK(search.from(symbol.offset));
  return {};
}

}  // namespace time_chaos::vdso
