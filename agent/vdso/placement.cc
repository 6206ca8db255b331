#include "agent/vdso/placement.h"

#include <sys/resource.h>

#include <algorithm>

namespace time_chaos::vdso {
namespace {

constexpr uint64_t kPage = payload::kPageSize;
constexpr uint64_t kMargin = 4 * kPage;
constexpr uint64_t kStep = 16 * kPage;
constexpr uint64_t kReach = uint64_t{0x60000000};  // 1.5 GiB: rel32 from anywhere near
constexpr uint64_t kGuard = uint64_t{2} << 20;     // stack_guard_gap is 1 MiB (mm/mmap.c)
constexpr uint64_t kUnlimitedStack = uint64_t{1} << 30;

bool overlap(uint64_t address, uint64_t size, const payload::PageRange& range) {
  return address < range.start + range.size && range.start < address + size;
}

}  // namespace

uint64_t stack_limit_of(pid_t pid) {
  rlimit limit{};
  if (::prlimit(pid, RLIMIT_STACK, nullptr, &limit) != 0) return RLIM_INFINITY;
  return limit.rlim_cur;
}

Placement::Placement(const targets::Mappings& mappings, uint64_t stack_limit)
    : mappings_(mappings) {
  const targets::Mapping* stack = mappings.find("[stack]");
  if (stack == nullptr) return;
  const uint64_t limit = stack_limit == RLIM_INFINITY ? kUnlimitedStack : stack_limit;
  const uint64_t depth = std::min(limit + kGuard, stack->end);
  stack_zone_ = {stack->end - depth, depth};
}

bool Placement::usable(uint64_t address, uint64_t size) const {
  if (stack_zone_.size != 0 && overlap(address, size, stack_zone_)) return false;
  const bool taken = std::any_of(reserved_.begin(), reserved_.end(),
                                 [&](const auto& range) { return overlap(address, size, range); });
  return !taken && mappings_.is_free(address, size);
}

std::optional<uint64_t> Placement::find_near(uint64_t near, uint64_t size) const {
  const uint64_t base = near & ~(kPage - 1);
  for (uint64_t distance = kStep; distance < kReach; distance += kStep) {
    for (const uint64_t at : {base - distance, base + distance}) {
      if (at > distance && usable(at - kMargin, size + 2 * kMargin)) return at;
    }
  }
  return std::nullopt;
}

}  // namespace time_chaos::vdso
