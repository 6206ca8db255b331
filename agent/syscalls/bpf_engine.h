// The BPF engine: the clock system calls of targets are shifted in the kernel, at their exit, by
// the target's clock page and the one formula. Nothing runs in the agent for it, and nothing of the
// target stops. It dies with its file descriptors, that is with the agent, unless it is pinned.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/error.h"
#include "agent/syscalls/bpf_hooks.h"
#include "agent/syscalls/bpf_load.h"
#include "agent/syscalls/bpf_state.h"
#include "agent/targets/machine.h"

namespace time_chaos::syscalls {

// What is known to stand against it before anything is tried: an old kernel, lockdown, no BTF, a
// user namespace, missing capabilities. Each with its remedy.
std::vector<Error> bpf_obstacles(const targets::Machine& machine, const KernelFacts& kernel);
// The first of them.
Status bpf_permitted(const targets::Machine& machine, const KernelFacts& kernel);

class BpfEngine {
 public:
  // With room for so many clock pages, and no targets. Tries hook after hook, the best first; the
  // error names what every one of them met.
  static Result<BpfEngine> start(uint32_t pages);

  [[nodiscard]] const std::shared_ptr<const BpfState>& state() const { return state_; }
  [[nodiscard]] const Hooks& hooks() const { return hooks_; }
  // Better hooks that this kernel refused, and why: for -v.
  [[nodiscard]] const std::vector<std::string>& refused() const { return refused_; }
  // Why raw time(2) calls show the host's time; nothing where they are shifted.
  [[nodiscard]] const std::optional<Error>& no_time() const { return no_time_; }
  // Why targets are not kept from setting the machine's clock; nothing where they are.
  [[nodiscard]] const std::optional<Error>& no_guard() const { return no_guard_; }

  // Why waits end in real time; nothing where they do not.
  [[nodiscard]] const std::optional<Error>& no_waits() const { return no_waits_; }
  // Why what the kernel says is left of waits is real; nothing where it is the target's time.
  [[nodiscard]] const std::optional<Error>& no_left() const { return no_left_; }

  // A program of that name (its first 15 bytes) that is executed from here on is a target of that
  // page from its first instruction on, whoever executes it.
  Status follow_name(std::string_view name, uint32_t page) const;
  // Since 5.15.
  [[nodiscard]] bool knows_cgroups() const { return cgroups_.valid(); }
  // The same of what is executed in that control group or below it (targets::Cgroup::id).
  Status follow_cgroup(uint64_t id, uint32_t page) const;
  // From here on nothing that is not a target's child becomes a target.
  void unfollow() const;

  // From here on it lives until unpin(state()->id()), also without this agent.
  Status pin() const;

 private:
  BpfEngine(BpfState state, Hooks hooks, std::vector<BpfLink> links)
      : state_(std::make_shared<const BpfState>(std::move(state))),
        hooks_(std::move(hooks)),
        links_(std::move(links)) {}

  std::shared_ptr<const BpfState> state_;
  Hooks hooks_;
  std::vector<BpfLink> links_;
  std::vector<ScopedFd> probes_;
  ScopedFd names_;
  ScopedFd cgroups_;
  std::vector<std::string> refused_;
  std::optional<Error> no_time_;
  std::optional<Error> no_guard_;
  std::optional<Error> no_waits_;
  std::optional<Error> no_left_;
};

}  // namespace time_chaos::syscalls
