// A child that reads clocks by raw system calls when it is told to, as a target of the BPF engine.
#pragma once

#include <sys/mman.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>

#include "agent/syscalls/bpf_load.h"
#include "agent/syscalls/bpf_state.h"
#include "target.h"

namespace time_chaos::testing {

constexpr uint32_t kEnginePages = 16;

// The loaded programs with room for some pages, and their maps.
class LoadedEngine {
 public:
  // Nothing, and why, where this machine permits no BPF engine or not these hooks.
  static Result<LoadedEngine> load(const syscalls::Hooks& hooks, bool with_time = false);

  [[nodiscard]] const syscalls::BpfState& state() const { return *state_; }
  [[nodiscard]] const std::vector<syscalls::BpfLink>& links() const { return links_; }
  // The clock page, mapped.
  [[nodiscard]] tc_clock_page& page(uint32_t number) const;
  // The page shows wall clocks `seconds` ahead from here on.
  void shift(uint32_t number, int64_t seconds) const;
  void put(uint32_t number, const clock::ClockMaps& maps) const;
  // The process is a target with that page.
  Status enter(pid_t pid, uint32_t number, uint64_t vdso_start = 0, uint64_t vdso_end = 0,
               uint32_t flags = 0) const;

 private:
  struct Unmap {
    void operator()(void* pages) const;
  };
  std::shared_ptr<const syscalls::BpfState> state_;
  std::vector<syscalls::BpfLink> links_;
  std::unique_ptr<void, Unmap> pages_;
};

// An engine for many tests, because loading one takes seconds under emulation; a page for each
// test.
class SharedEngine {
 public:
  // What is loaded for these hooks; loads it the first time.
  const Result<LoadedEngine>& get(const syscalls::Hooks& hooks);
  // A page that nobody has had.
  uint32_t next_page() { return pages_++; }

 private:
  std::optional<Result<LoadedEngine>> engine_;
  uint32_t pages_ = 0;
};

// Runs `body` in a child that is entered before, and returns what it returned (0 to 255).
int run_as_target(const LoadedEngine& engine, uint32_t page, const std::function<int()>& body,
                  uint32_t flags = 0);

}  // namespace time_chaos::testing
