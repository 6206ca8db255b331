// Where in a target's address space our pages may go: free now, near the vDSO, and never where
// the stack may still grow.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

#include "agent/payload/layout.h"
#include "agent/targets/mappings.h"

namespace time_chaos::vdso {

class Placement {
 public:
  // `stack_limit`: RLIMIT_STACK of the process, in bytes; RLIM_INFINITY allowed.
  Placement(const targets::Mappings& mappings, uint64_t stack_limit);

  // Whole pages that may be mapped at exactly this place.
  [[nodiscard]] bool usable(uint64_t address, uint64_t size) const;
  // `size` bytes of free pages with a margin on both sides, within jump distance of `near`.
  [[nodiscard]] std::optional<uint64_t> find_near(uint64_t near, uint64_t size) const;
  // Takes the pages out of what find_near() offers.
  void reserve(payload::PageRange range) { reserved_.push_back(range); }

 private:
  const targets::Mappings& mappings_;
  payload::PageRange stack_zone_;
  std::vector<payload::PageRange> reserved_;
};

uint64_t stack_limit_of(pid_t pid);

}  // namespace time_chaos::vdso
