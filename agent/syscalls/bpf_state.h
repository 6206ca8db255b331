// The maps of a BPF engine: this agent's own, or another's that was found running. Targets come and
// go here; the clock pages are changed through vdso::ClockPage, as those in the targets are.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "agent/syscalls/bpf_processes.h"
#include "time_chaos/abi/bpf_state.h"

namespace time_chaos::syscalls {

using BpfCounts = std::array<tc_bpf_count, TC_BPF_ROWS>;

struct ProgramMisses {
  std::string program;
  uint64_t misses =
      0;  // runs that the kernel skipped (recursion_misses), since the program is there
};

class BpfState {
 public:
  struct Fds {
    ScopedFd targets;
    ScopedFd pages;
    ScopedFd counts;
    std::vector<ScopedFd> programs;
  };
  static Result<BpfState> over(Fds fds);

  // Names the engine on this machine until it is gone.
  [[nodiscard]] uint32_t id() const { return id_; }
  [[nodiscard]] uint32_t page_count() const { return page_count_; }
  // Page n begins n * TC_PAGE_SIZE into what this descriptor maps.
  [[nodiscard]] int pages_fd() const { return fds_.pages.get(); }
  [[nodiscard]] Result<tc_clock_page> page(uint32_t number) const;

  // By the kernel's tgid.
  using Entry = std::pair<uint32_t, tc_bpf_target>;
  [[nodiscard]] std::vector<Entry> targets() const;
  // The entry of that very process.
  [[nodiscard]] std::optional<tc_bpf_target> find(const KernelProcess& process) const;
  Status put(uint32_t tgid, const tc_bpf_target& target) const;
  // Not an error if it is not there.
  Status drop(uint32_t tgid) const;

  // Summed over the processors; rows are clock ids, then TC_BPF_ROW_*.
  [[nodiscard]] Result<BpfCounts> counts(uint32_t page) const;
  // Of every program of the engine.
  [[nodiscard]] std::vector<ProgramMisses> misses() const;
  // "fexit", as the programs' names tell.
  [[nodiscard]] std::string hooks() const;
  // time(2) is shifted too.
  [[nodiscard]] bool shifts_time() const;

 private:
  explicit BpfState(Fds fds) : fds_(std::move(fds)) {}
  [[nodiscard]] std::vector<std::string> program_names() const;

  Fds fds_;
  uint32_t id_ = 0;
  uint32_t page_count_ = 0;
};

// Every BPF engine of this machine, whoever made it. Wants CAP_SYS_ADMIN: without it there are none
// to be seen.
std::vector<BpfState> running_engines();

}  // namespace time_chaos::syscalls
