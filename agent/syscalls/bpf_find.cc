// Running engines by what the kernel lists: programs, and the maps that they use.
#include <bpf/bpf.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string_view>

#include "agent/syscalls/bpf_state.h"

namespace time_chaos::syscalls {
namespace {

constexpr std::string_view kOurs = "tchaos_";

struct UsedMaps {
  uint32_t targets = 0;
  uint32_t pages = 0;
  uint32_t counts = 0;
  uint32_t timers = 0;
};

// The maps of ours that a program uses.
UsedMaps maps_of(int program) {
  UsedMaps used;
  __u32 ids[16] = {};
  bpf_prog_info info{};
  info.nr_map_ids = 16;
  info.map_ids = reinterpret_cast<uint64_t>(ids);
  __u32 size = sizeof info;
  if (::bpf_obj_get_info_by_fd(program, &info, &size) != 0) return used;
  for (__u32 i = 0; i < info.nr_map_ids && i < 16; i++) {
    const ScopedFd map(::bpf_map_get_fd_by_id(ids[i]));
    bpf_map_info about{};
    __u32 about_size = sizeof about;
    if (!map.valid() || ::bpf_obj_get_info_by_fd(map.get(), &about, &about_size) != 0) continue;
    const std::string_view name = about.name;
    if (name == "tchaos_targets") used.targets = ids[i];
    if (name == "tchaos_pages") used.pages = ids[i];
    if (name == "tchaos_counts") used.counts = ids[i];
    if (name == "tchaos_wtimers") used.timers = ids[i];
  }
  return used;
}

bool ours(int program) {
  bpf_prog_info info{};
  __u32 size = sizeof info;
  return ::bpf_obj_get_info_by_fd(program, &info, &size) == 0 &&
         std::strncmp(info.name, kOurs.data(), kOurs.size()) == 0;
}

struct Engine {
  UsedMaps maps;
  std::vector<ScopedFd> programs;
};

}  // namespace

std::vector<BpfState> running_engines() {
  std::map<uint32_t, Engine> engines;  // by the id of the targets map
  __u32 id = 0;
  while (::bpf_prog_get_next_id(id, &id) == 0) {
    ScopedFd program(::bpf_prog_get_fd_by_id(id));
    if (!program.valid() || !ours(program.get())) continue;
    const UsedMaps used = maps_of(program.get());
    if (used.targets == 0) continue;
    Engine& engine = engines[used.targets];
    engine.maps.targets = used.targets;
    if (used.pages != 0) engine.maps.pages = used.pages;
    if (used.counts != 0) engine.maps.counts = used.counts;
    if (used.timers != 0) engine.maps.timers = used.timers;
    engine.programs.push_back(std::move(program));
  }
  std::vector<BpfState> states;
  for (auto& [targets, engine] : engines) {
    BpfState::Fds fds{ScopedFd(::bpf_map_get_fd_by_id(engine.maps.targets)),
                      ScopedFd(::bpf_map_get_fd_by_id(engine.maps.pages)),
                      ScopedFd(::bpf_map_get_fd_by_id(engine.maps.counts)),
                      std::move(engine.programs)};
    if (engine.maps.timers != 0) fds.timers.reset(::bpf_map_get_fd_by_id(engine.maps.timers));
    if (!fds.targets.valid() || !fds.pages.valid() || !fds.counts.valid()) continue;
    auto state = BpfState::over(std::move(fds));
    if (state) states.push_back(std::move(*state));
  }
  return states;
}

}  // namespace time_chaos::syscalls
