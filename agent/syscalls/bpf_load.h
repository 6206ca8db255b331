// Loads the clock programs with one choice of hooks, and attaches them. What is loaded lives as
// long as its file descriptors (or their pins): libbpf's own objects are gone when this returns.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/base/scoped_fd.h"
#include "agent/syscalls/bpf_hooks.h"

namespace time_chaos::syscalls {

struct BpfLink {
  std::string program;
  ScopedFd fd;
};

struct LoadedClocks {
  ScopedFd targets;
  ScopedFd pages;
  ScopedFd counts;
  ScopedFd names;
  ScopedFd cgroups;
  ScopedFd timers;  // where waits are hooked
  uint32_t page_count = 0;
  bool knows_cgroups = false;  // its programs heed `cgroups`
  std::vector<ScopedFd> programs;
  std::vector<BpfLink> links;
  // Probes that are no links and cannot be pinned: they end with the agent.
  std::vector<ScopedFd> probes;
  // Why what is left of waits is real, or some of it; nothing where it is in the target's time.
  std::optional<Error> no_left;
};

// `pages`: how many clock pages there are. The error carries what the kernel said.
Result<LoadedClocks> load_clocks(const Hooks& hooks, uint32_t pages);

// A program that stands in for time(2), sharing the maps of `clocks`, is added to it. kUnsupported
// where the kernel does not let a program do that: before 7.1, as a rule.
Status add_time(LoadedClocks& clocks);

// Programs that keep targets from setting the machine's clock are added likewise. kUnsupported
// where the kernel does not let a program refuse a permission.
Status add_guard(LoadedClocks& clocks);

// Programs that let waits end in the target's time are added likewise, and one for what the kernel
// says is left of them, or `no_left`.
Status add_waits(LoadedClocks& clocks, const KernelFacts& kernel);

}  // namespace time_chaos::syscalls
