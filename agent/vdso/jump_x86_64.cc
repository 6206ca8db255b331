// x86-64 jumps: E9 rel32 (five bytes), FF 25 (through a pointer behind it, fourteen).
#include <cpuid.h>

#include <array>
#include <cstring>
#include <limits>
#include <string_view>

#include "agent/vdso/jump.h"

namespace time_chaos::vdso {
namespace {

constexpr uint8_t kJumpRel32 = 0xe9;
constexpr unsigned kHypervisorBit = 31;  // of CPUID 1, ecx
constexpr unsigned kHypervisorLeaf = 0x40000000;

}  // namespace

uint64_t punned_target(uint64_t entry, std::span<const uint8_t> entry_bytes) {
  int32_t distance = 0;
  std::memcpy(&distance, entry_bytes.data() + 1, sizeof distance);
  return entry + kJumpSize + static_cast<uint64_t>(static_cast<int64_t>(distance));
}

std::vector<uint8_t> punned_entry(std::span<const uint8_t> entry_bytes) {
  std::vector<uint8_t> bytes(entry_bytes.begin(), entry_bytes.begin() + kJumpSize);
  bytes[0] = kJumpRel32;
  return bytes;
}

std::optional<std::vector<uint8_t>> near_jump(uint64_t from, uint64_t to) {
  const auto distance = static_cast<int64_t>(to - (from + kJumpSize));
  if (distance < std::numeric_limits<int32_t>::min() ||
      distance > std::numeric_limits<int32_t>::max()) {
    return std::nullopt;
  }
  std::vector<uint8_t> bytes(kJumpSize, kJumpRel32);
  const auto rel32 = static_cast<int32_t>(distance);
  std::memcpy(bytes.data() + 1, &rel32, sizeof rel32);
  return bytes;
}

std::vector<uint8_t> pad_jump(uint64_t from, uint64_t to) {
  if (auto near = near_jump(from, to)) return *near;
  std::vector<uint8_t> bytes = {0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  std::memcpy(bytes.data() + 6, &to, sizeof to);
  return bytes;
}

Result<std::vector<uint8_t>> relocated(const Prologue& prologue, uint64_t entry, uint64_t at) {
  std::vector<uint8_t> bytes = prologue.bytes;
  const auto back = near_jump(at + bytes.size(), entry + bytes.size());
  if (!back) return fail(Exit::kFailed, "the code page is too far from the vDSO");
  bytes.insert(bytes.end(), back->begin(), back->end());
  return bytes;
}

bool may_run_stale_code() {
  unsigned a = 0;
  std::array<unsigned, 3> name{};
  unsigned features = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &name[0], &features, &d) == 0) return false;
  if ((features >> kHypervisorBit & 1) == 0) return false;
  __cpuid(kHypervisorLeaf, a, name[0], name[1], name[2]);
  char text[sizeof name];
  std::memcpy(text, name.data(), sizeof text);
  return std::string_view(text, sizeof text) == "TCGTCGTCGTCG";
}

}  // namespace time_chaos::vdso
