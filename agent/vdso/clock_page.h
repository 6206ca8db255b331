// The clock page of a target, as the agent reads and changes it, without ptrace and without a stop.
//
// A page may have a *twin*: another copy, for an engine that does not look into the target's
// memory. It is changed with the page, in the same instant but for some nanoseconds.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "agent/clock/map_plan.h"
#include "agent/tracee/memory.h"

namespace time_chaos::vdso {

class ClockPage {
 public:
  // The page at `address` in `pid`: shared through /proc/PID/map_files where that is permitted
  // (CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE), else written through /proc/PID/mem.
  static Result<ClockPage> open(pid_t pid, uint64_t address);
  // A page that stands `offset` bytes into what `file` maps, and in no target.
  static Result<ClockPage> over(int file, uint64_t offset);
  void set_twin(std::shared_ptr<ClockPage> twin) { twin_ = std::move(twin); }
  // Would open() be able to share pages? Decides how the page is mapped in the target: readable
  // only, or writable, because a shared page that is not writable there cannot be written through
  // /proc/PID/mem (mm/gup.c, check_vma_flags).
  static bool sharing_permitted();

  Result<tc_clock_page> read() const;
  Result<clock::ClockMaps> maps() const;  // those in force

  // Puts new maps into force in one instant for all functions, threads and forked children.
  // `header` may change the fields beside the maps and their tables first.
  Status publish(const clock::ClockMaps& maps,
                 const std::function<void(tc_clock_page&)>& header = {});
  // Reads the maps in force, and publishes what `change` makes of them; no other agent's change
  // can come in between. Maps that have to be in force by some moment, and are late, are asked for
  // again.
  Status update(const std::function<Status(clock::ClockMaps&, tc_clock_page&)>& change);

  [[nodiscard]] bool shared() const { return page_ != nullptr; }

 private:
  struct Unmap {
    void operator()(tc_clock_page* page) const;
  };
  ClockPage(uint64_t address, std::unique_ptr<tracee::Memory> memory)
      : address_(address), memory_(std::move(memory)) {}
  Status write(uint64_t begin, const void* bytes, size_t size);
  // Everything but the flip. The latch that would put it into force.
  Result<uint32_t> fill(const clock::ClockMaps& maps, const tc_clock_page& header);
  Status flip(uint32_t latch);

  uint64_t address_;
  std::unique_ptr<tracee::Memory> memory_;  // null: the page is in no target
  ScopedFd file_;
  std::unique_ptr<tc_clock_page, Unmap> page_;  // where it could be mapped here
  std::shared_ptr<ClockPage> twin_;
};

}  // namespace time_chaos::vdso
