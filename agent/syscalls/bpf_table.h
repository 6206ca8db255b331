// The BPF engine's table of targets, by the kernel's tgid.
//
// By system calls, or, for an engine of kprobe.multi programs, by a program: a system call on a map
// keeps such programs from running on that processor meanwhile, and readings would be lost.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "time_chaos/abi/bpf_state.h"

namespace time_chaos::syscalls {

class BpfTable {
 public:
  // `by_program`: not by system calls, where this kernel can do that.
  BpfTable(ScopedFd map, bool by_program);

  [[nodiscard]] int map() const { return map_.get(); }

  using Entry = std::pair<uint32_t, tc_bpf_target>;
  // Ascending. Entries that come and go meanwhile may be missing.
  [[nodiscard]] std::vector<Entry> list() const;
  [[nodiscard]] std::optional<tc_bpf_target> find(uint32_t tgid) const;
  Status put(uint32_t tgid, const tc_bpf_target& target) const;
  // Not an error if it is not there.
  Status drop(uint32_t tgid) const;

 private:
  [[nodiscard]] std::vector<Entry> walk() const;
  [[nodiscard]] std::vector<Entry> iterate() const;
  // 0 or an errno value.
  int order(tc_bpf_order& order) const;

  ScopedFd map_;
  ScopedFd order_;     // the programs; invalid: system calls
  ScopedFd iterator_;  // a link, opened anew for every list
};

}  // namespace time_chaos::syscalls
