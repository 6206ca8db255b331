#include "agent/syscalls/bpf_state.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "agent/base/unpreempted.h"
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

constexpr const char* kTimeProgram = "tchaos_time";  // and tchaos_time_2, ...

bool has_prefix(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

std::vector<std::string> names_of(const std::vector<ScopedFd>& programs) {
  std::vector<std::string> names;
  for (const ScopedFd& program : programs) {
    const auto info = info_of<bpf_prog_info>(program.get());
    if (info) names.emplace_back(info->name);
  }
  return names;
}

// Of the kind that map system calls keep from running.
bool any_probe(const std::vector<ScopedFd>& programs) {
  const auto names = names_of(programs);
  return std::any_of(names.begin(), names.end(), [](const std::string& name) {
    return name == "tchaos_return" || (name.size() > 3 && name.substr(name.size() - 3) == "_kp");
  });
}

}  // namespace

Result<BpfState> BpfState::over(Fds fds) {
  TC_TRY(const auto targets, info_of<bpf_map_info>(fds.targets.get()));
  TC_TRY(const auto pages, info_of<bpf_map_info>(fds.pages.get()));
  TC_TRY(const auto counts, info_of<bpf_map_info>(fds.counts.get()));
  if (targets.value_size != sizeof(tc_bpf_target) || pages.value_size != sizeof(tc_clock_page) ||
      counts.value_size != sizeof(tc_bpf_count) ||
      counts.max_entries % (pages.max_entries * TC_BPF_ROWS) != 0) {
    return fail(Exit::kFailed, "the maps of another version of time-chaos",
                "recover with that version");
  }
  TC_TRY(auto mapped_pages, MappedArray<tc_clock_page>::open(fds.pages.get(), pages.max_entries));
  TC_TRY(auto mapped_counts, MappedArray<tc_bpf_count>::open(fds.counts.get(), counts.max_entries));
  const bool probes = any_probe(fds.programs);
  BpfState state(BpfTable(std::move(fds.targets), probes), std::move(fds.pages),
                 std::move(fds.programs), std::move(mapped_pages), std::move(mapped_counts));
  if (fds.timers.valid()) {
    TC_TRY(const auto timers, info_of<bpf_map_info>(fds.timers.get()));
    if (timers.key_size == sizeof(tc_bpf_timerfd) &&
        timers.value_size == sizeof(tc_bpf_timer_end)) {
      state.timers_ = std::move(fds.timers);
    }
  }
  state.id_ = targets.id;
  state.page_count_ = pages.max_entries;
  return state;
}

// Not torn: whoever changes it flips its latch last, as for the programs.
tc_clock_page BpfState::page(uint32_t number) const {
  return number < page_count_ ? pages_.values()[number] : tc_clock_page{};
}

std::optional<tc_bpf_target> BpfState::find(const KernelProcess& process) const {
  const auto target = table_.find(process.tgid);
  if (!target || process.started_last < target->started_first ||
      process.started_first > target->started_last) {
    return std::nullopt;
  }
  return target;
}

BpfCounts BpfState::counts(uint32_t page) const {
  BpfCounts counts{};
  const auto all = counts_.values();
  const size_t stride = size_t{page_count_} * TC_BPF_ROWS;  // of a processor
  for (size_t at = size_t{page} * TC_BPF_ROWS; at + TC_BPF_ROWS <= all.size(); at += stride) {
    for (size_t row = 0; row < TC_BPF_ROWS; row++) {
      counts[row].done += all[at + row].done;
      counts[row].refused += all[at + row].refused;
    }
  }
  return counts;
}

std::vector<ProgramMisses> BpfState::misses() const {
  std::vector<ProgramMisses> list;
  for (const ScopedFd& program : programs_) {
    const auto info = info_of<bpf_prog_info>(program.get());
    if (!info) continue;
    // Those for time(2) take over from each other: what was lost, all of them missed.
    const bool stand_in = has_prefix(info->name, kTimeProgram);
    const auto first = std::find_if(list.begin(), list.end(), [&](const ProgramMisses& one) {
      return stand_in && one.program == kTimeProgram;
    });
    if (first == list.end()) {
      list.push_back({stand_in ? kTimeProgram : info->name, info->recursion_misses});
    } else {
      first->misses = std::min<uint64_t>(first->misses, info->recursion_misses);
    }
  }
  return list;
}

std::string BpfState::hooks() const {
  for (const std::string& program : names_of(programs_)) {
    if (program == "tchaos_return") return std::string(name(ExitHook::kReturnProbe));
    if (program == "tchaos_sysexit") return std::string(name(ExitHook::kTracepoint));
    if (has_prefix(program, "tchaos_x_")) return std::string(name(ExitHook::kFunctionExit));
  }
  return "no hook";
}

bool BpfState::shifts_time() const {
  const auto names = names_of(programs_);
  return std::find(names.begin(), names.end(), kTimeProgram) != names.end();
}

bool BpfState::shifts_waits() const {
  const auto names = names_of(programs_);
  return std::find(names.begin(), names.end(), "tchaos_wait") != names.end();
}

std::optional<TimerEnd> BpfState::timerfd(uint32_t tgid, int fd) const {
  const tc_bpf_timerfd key{tgid, fd};
  tc_bpf_timer_end end{};
  const Unpreempted meanwhile;
  if (!timers_.valid() || ::bpf_map_lookup_elem(timers_.get(), &key, &end) != 0) {
    return std::nullopt;
  }
  return TimerEnd{{end.shown_sec, end.shown_nsec}, {end.real_sec, end.real_nsec}};
}

void BpfState::note_timerfd(uint32_t tgid, int fd, const TimerEnd& end) const {
  const tc_bpf_timerfd key{tgid, fd};
  const tc_bpf_timer_end value{end.shown.sec, end.shown.nsec, end.real.sec, end.real.nsec};
  const Unpreempted meanwhile;
  if (timers_.valid()) (void)::bpf_map_update_elem(timers_.get(), &key, &value, BPF_ANY);
}

}  // namespace time_chaos::syscalls
