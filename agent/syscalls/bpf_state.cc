#include "agent/syscalls/bpf_state.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "agent/syscalls/bpf_hooks.h"

namespace time_chaos::syscalls {
namespace {

template <typename Info>
Result<Info> info_of(int fd) {
  Info info{};
  __u32 size = sizeof info;
  if (::bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return fail_errno("ask about a BPF object");
  return info;
}

bool has_prefix(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

}  // namespace

Result<BpfState> BpfState::over(Fds fds) {
  BpfState state(std::move(fds));
  TC_TRY(const auto targets, info_of<bpf_map_info>(state.fds_.targets.get()));
  TC_TRY(const auto pages, info_of<bpf_map_info>(state.fds_.pages.get()));
  TC_TRY(const auto counts, info_of<bpf_map_info>(state.fds_.counts.get()));
  if (targets.value_size != sizeof(tc_bpf_target) || pages.value_size != sizeof(tc_clock_page) ||
      counts.value_size != sizeof(tc_bpf_count)) {
    return fail(Exit::kFailed, "the maps of another version of time-chaos",
                "recover with that version");
  }
  state.id_ = targets.id;
  state.page_count_ = pages.max_entries;
  return state;
}

Result<tc_clock_page> BpfState::page(uint32_t number) const {
  tc_clock_page page{};
  if (::bpf_map_lookup_elem(fds_.pages.get(), &number, &page) != 0) {
    return fail_errno("read a clock page of the BPF engine");
  }
  return page;
}

std::vector<BpfState::Entry> BpfState::targets() const {
  std::vector<Entry> entries;
  uint32_t key = 0;
  const uint32_t* before = nullptr;
  // Entries that come and go meanwhile may start the walk anew: it ends all the same.
  while (entries.size() < size_t{2} * TC_BPF_MAX_TARGETS &&
         ::bpf_map_get_next_key(fds_.targets.get(), before, &key) == 0) {
    Entry entry{key, {}};
    if (::bpf_map_lookup_elem(fds_.targets.get(), &key, &entry.second) == 0) {
      entries.push_back(entry);
    }
    before = &key;
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.first < b.first; });
  const auto same = [](const Entry& a, const Entry& b) { return a.first == b.first; };
  entries.erase(std::unique(entries.begin(), entries.end(), same), entries.end());
  return entries;
}

std::optional<tc_bpf_target> BpfState::find(const KernelProcess& process) const {
  tc_bpf_target target{};
  if (::bpf_map_lookup_elem(fds_.targets.get(), &process.tgid, &target) != 0 ||
      process.started_last < target.started_first || process.started_first > target.started_last) {
    return std::nullopt;
  }
  return target;
}

Status BpfState::put(uint32_t tgid, const tc_bpf_target& target) const {
  if (::bpf_map_update_elem(fds_.targets.get(), &tgid, &target, BPF_ANY) == 0) return {};
  if (errno == E2BIG) {
    return fail(Exit::kFailed, "the BPF engine serves no more processes",
                "recover some, or start another agent");
  }
  return fail_errno("add a target to the BPF engine");
}

Status BpfState::drop(uint32_t tgid) const {
  if (::bpf_map_delete_elem(fds_.targets.get(), &tgid) == 0 || errno == ENOENT) return {};
  return fail_errno("remove a target from the BPF engine");
}

Result<BpfCounts> BpfState::counts(uint32_t page) const {
  const int processors = ::libbpf_num_possible_cpus();
  if (processors <= 0) return fail(Exit::kFailed, "the number of processors is not known");
  std::vector<tc_bpf_count> each(static_cast<size_t>(processors));
  BpfCounts counts{};
  for (uint32_t row = 0; row < TC_BPF_ROWS; row++) {
    const uint32_t key = page * TC_BPF_ROWS + row;
    if (::bpf_map_lookup_elem(fds_.counts.get(), &key, each.data()) != 0) {
      return fail_errno("read the counts of the BPF engine");
    }
    for (const tc_bpf_count& count : each) {
      counts[row].done += count.done;
      counts[row].refused += count.refused;
    }
  }
  return counts;
}

std::vector<ProgramMisses> BpfState::misses() const {
  std::vector<ProgramMisses> list;
  for (const ScopedFd& program : fds_.programs) {
    const auto info = info_of<bpf_prog_info>(program.get());
    if (info) list.push_back({info->name, info->recursion_misses});
  }
  return list;
}

std::vector<std::string> BpfState::program_names() const {
  std::vector<std::string> names;
  for (const ProgramMisses& program : misses()) names.push_back(program.program);
  return names;
}

std::string BpfState::hooks() const {
  for (const std::string& program : program_names()) {
    if (program == "tchaos_return") return std::string(name(ExitHook::kReturnProbe));
    if (program == "tchaos_sysexit") return std::string(name(ExitHook::kTracepoint));
    if (has_prefix(program, "tchaos_x_")) return std::string(name(ExitHook::kFunctionExit));
  }
  return "no hook";
}

bool BpfState::shifts_time() const {
  const auto names = program_names();
  return std::find(names.begin(), names.end(), "tchaos_time") != names.end();
}

}  // namespace time_chaos::syscalls
