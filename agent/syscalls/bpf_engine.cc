#include "agent/syscalls/bpf_engine.h"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/capability.h>

#include <array>
#include <cerrno>

#include "agent/base/unpreempted.h"
#include "agent/syscalls/bpf_pins.h"

namespace time_chaos::syscalls {
namespace {

using targets::Lockdown;

// Before, the kernel's clock data are not where the program looks for them.
constexpr KernelVersion kOldestTime{6, 15};

std::string version_text(KernelVersion version) {
  return fmt::format("{}.{}", version.major, version.minor);
}

}  // namespace

std::vector<Error> bpf_obstacles(const targets::Machine& machine, const KernelFacts& kernel) {
  std::vector<Error> obstacles;
  if (kernel.version < kOldestKernel) {
    obstacles.emplace_back(Exit::kUnsupported,
                           fmt::format("Linux {} is too old for it", version_text(kernel.version)),
                           fmt::format("use Linux {} or later", version_text(kOldestKernel)));
  }
  if (machine.lockdown == Lockdown::kIntegrity || machine.lockdown == Lockdown::kConfidentiality) {
    obstacles.emplace_back(Exit::kNotPermitted,
                           fmt::format("lockdown ({}) refuses BPF to write user memory",
                                       targets::name(machine.lockdown)),
                           "boot without lockdown (Secure Boot switches it on)");
  }
  if (!machine.btf) {
    obstacles.emplace_back(Exit::kUnsupported, "this kernel has no BTF (/sys/kernel/btf/vmlinux)",
                           "use a kernel with CONFIG_DEBUG_INFO_BTF");
  }
  if (!machine.initial_user_namespace) {
    obstacles.emplace_back(Exit::kNotPermitted, "BPF is not for a user namespace of its own",
                           "run the agent in the machine's own user namespace");
  }
  // bpf_probe_write_user wants CAP_SYS_ADMIN besides the other two, which it includes
  // (bpf_tracing_func_proto, kernel/trace/bpf_trace.c).
  if (!machine.has(CAP_SYS_ADMIN)) {
    std::string missing = "CAP_SYS_ADMIN";
    if (!machine.has(CAP_BPF)) missing += ", CAP_BPF";
    if (!machine.has(CAP_PERFMON)) missing += ", CAP_PERFMON";
    obstacles.emplace_back(Exit::kNotPermitted, "no " + missing,
                           "run as root, or with CAP_SYS_ADMIN");
  }
  return obstacles;
}

Status bpf_permitted(const targets::Machine& machine, const KernelFacts& kernel) {
  const auto obstacles = bpf_obstacles(machine, kernel);
  if (obstacles.empty()) return {};
  return fail(obstacles.front());
}

Result<BpfEngine> BpfEngine::start(uint32_t pages) {
  TC_TRY(const auto machine, targets::read_machine());
  TC_TRY(const KernelFacts kernel, read_kernel_facts());
  TC_CHECK(bpf_permitted(machine, kernel));
  std::vector<std::string> refused;
  std::optional<Error> first;
  for (const Hooks& hooks : choose_hooks(kernel)) {
    auto loaded = load_clocks(hooks, pages);
    if (!loaded) {
      refused.push_back(fmt::format("{}{}: {}", name(hooks.exit),
                                    hooks.ia32 ? "" : " (64-bit only)", loaded.error().message()));
      // Not a matter of hooks.
      if (loaded.error().kind() == Exit::kNotPermitted && loaded.error().error_number() == 0) {
        return fail(loaded.error());
      }
      if (!first) first = loaded.error();
      continue;
    }
    const Status time =
        kernel.version < kOldestTime
            ? fail(Exit::kUnsupported, "this kernel lets no program stand in for it",
                   "use Linux 7.1 or later, or --engine-syscalls ptrace")
            : add_time(*loaded);
    const Status guard = add_guard(*loaded);
    const Status waits = add_waits(*loaded, kernel);
    BpfState::Fds fds{std::move(loaded->targets), std::move(loaded->pages),
                      std::move(loaded->counts), std::move(loaded->programs),
                      std::move(loaded->timers)};
    TC_TRY(BpfState state, BpfState::over(std::move(fds)));
    BpfEngine engine(std::move(state), hooks, std::move(loaded->links));
    engine.probes_ = std::move(loaded->probes);
    engine.names_ = std::move(loaded->names);
    if (loaded->knows_cgroups) engine.cgroups_ = std::move(loaded->cgroups);
    engine.refused_ = std::move(refused);
    if (!time) engine.no_time_ = time.error();
    if (!guard) engine.no_guard_ = guard.error();
    if (!waits) engine.no_waits_ = waits.error();
    engine.no_left_ = std::move(loaded->no_left);
    return engine;
  }
  std::string all;
  for (const std::string& one : refused) all += (all.empty() ? "" : "; then ") + one;
  return fail(first->kind(), "the kernel refuses its programs: " + all, first->remedy());
}

namespace {

using Comm = std::array<char, TC_BPF_COMM>;

// As the kernel keeps it: cut off, and filled up.
Comm comm_of(std::string_view name) {
  Comm comm{};
  name.copy(comm.data(), comm.size() - 1);
  return comm;
}

}  // namespace

Status BpfEngine::follow_name(std::string_view name, uint32_t page) const {
  const Comm comm = comm_of(name);
  const Unpreempted meanwhile;
  if (::bpf_map_update_elem(names_.get(), comm.data(), &page, BPF_ANY) == 0) return {};
  return fail_errno(fmt::format("follow the name {}", name));
}

Status BpfEngine::follow_cgroup(uint64_t id, uint32_t page) const {
  const uint64_t any = 0;
  const Unpreempted meanwhile;
  if (::bpf_map_update_elem(cgroups_.get(), &id, &page, BPF_ANY) == 0 &&
      ::bpf_map_update_elem(cgroups_.get(), &any, &page, BPF_ANY) == 0) {
    return {};
  }
  return fail_errno("follow a control group");
}

void BpfEngine::unfollow() const {
  const Unpreempted meanwhile;
  Comm comm{};
  while (::bpf_map_get_next_key(names_.get(), nullptr, comm.data()) == 0) {
    if (::bpf_map_delete_elem(names_.get(), comm.data()) != 0) break;
  }
  uint64_t id = 0;
  while (knows_cgroups() && ::bpf_map_get_next_key(cgroups_.get(), nullptr, &id) == 0) {
    if (::bpf_map_delete_elem(cgroups_.get(), &id) != 0) break;
  }
}

Status BpfEngine::pin() const {
  return pin_links(state_->id(), links_);
}

}  // namespace time_chaos::syscalls
