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
#include "agent/syscalls/bpf_table.h"
#include "agent/syscalls/mapped_array.h"
#include "agent/syscalls/timer_end.h"
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
    ScopedFd timers = ScopedFd();  // where waits are hooked
  };
  static Result<BpfState> over(Fds fds);

  // Names the engine on this machine until it is gone.
  [[nodiscard]] uint32_t id() const { return id_; }
  [[nodiscard]] uint32_t page_count() const { return page_count_; }
  // Page n begins n * TC_PAGE_SIZE into what this descriptor maps.
  [[nodiscard]] int pages_fd() const { return pages_fd_.get(); }
  [[nodiscard]] tc_clock_page page(uint32_t number) const;

  // By the kernel's tgid.
  using Entry = BpfTable::Entry;
  [[nodiscard]] std::vector<Entry> targets() const { return table_.list(); }
  // The entry of that very process.
  [[nodiscard]] std::optional<tc_bpf_target> find(const KernelProcess& process) const;
  Status put(uint32_t tgid, const tc_bpf_target& target) const { return table_.put(tgid, target); }
  // Not an error if it is not there.
  Status drop(uint32_t tgid) const { return table_.drop(tgid); }

  // Summed over the processors; rows are clock ids, then TC_BPF_ROW_*.
  [[nodiscard]] BpfCounts counts(uint32_t page) const;
  // Of every program of the engine.
  [[nodiscard]] std::vector<ProgramMisses> misses() const;
  // "fexit", as the programs' names tell.
  [[nodiscard]] std::string hooks() const;
  // time(2) is shifted too.
  [[nodiscard]] bool shifts_time() const;
  // Waits end in the target's time.
  [[nodiscard]] bool shifts_waits() const;

  // How a process, of that tgid of the kernel's, has set its timerfd to a time; nothing where that
  // is not known. To be believed if the timerfd stands so.
  [[nodiscard]] std::optional<TimerEnd> timerfd(uint32_t tgid, int fd) const;
  // It has been set anew.
  void note_timerfd(uint32_t tgid, int fd, const TimerEnd& end) const;

 private:
  BpfState(BpfTable table, ScopedFd pages_fd, std::vector<ScopedFd> programs,
           MappedArray<tc_clock_page> pages, MappedArray<tc_bpf_count> counts)
      : table_(std::move(table)),
        pages_fd_(std::move(pages_fd)),
        programs_(std::move(programs)),
        pages_(std::move(pages)),
        counts_(std::move(counts)) {}

  BpfTable table_;
  ScopedFd pages_fd_;
  std::vector<ScopedFd> programs_;
  ScopedFd timers_;
  MappedArray<tc_clock_page> pages_;
  MappedArray<tc_bpf_count> counts_;
  uint32_t id_ = 0;
  uint32_t page_count_ = 0;
};

// Every BPF engine of this machine, whoever made it. Wants CAP_SYS_ADMIN: without it there are none
// to be seen.
std::vector<BpfState> running_engines();

}  // namespace time_chaos::syscalls
