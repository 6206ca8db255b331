// What the BPF objects beside the clocks' own have in common: the clocks' maps, and how one that
// the kernel refuses is reported.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>

#include <memory>
#include <string_view>

#include "agent/syscalls/bpf_load.h"
#include "agent/syscalls/bpf_log.h"

namespace time_chaos::syscalls {

struct DestroyBpf {
  template <typename Skeleton>
  void operator()(Skeleton* skeleton) const {
    Skeleton::destroy(skeleton);
  }
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

inline tl::unexpected<Error> refused(const char* what, const BpfLog& log, const char* remedy) {
  return fail(Exit::kUnsupported, fmt::format("{}: {}", what, telling_line(log.text())), remedy);
}

// Opened, and given the maps of `clocks`; or null.
template <typename Skeleton>
std::unique_ptr<Skeleton, DestroyBpf> open_sharing(const LoadedClocks& clocks) {
  std::unique_ptr<Skeleton, DestroyBpf> skeleton(Skeleton::open());
  if (!skeleton) return nullptr;
  skeleton->rodata->tchaos_page_count = clocks.page_count;
  bpf_map* map = nullptr;
  bpf_object__for_each_map(map, skeleton->obj) {
    const std::string_view name = bpf_map__name(map);
    int fd = -1;
    if (name == "tchaos_targets") fd = clocks.targets.get();
    if (name == "tchaos_pages") fd = clocks.pages.get();
    if (name == "tchaos_counts") fd = clocks.counts.get();
    if (name == "tchaos_cgroups") fd = clocks.cgroups.get();
    if (name == "tchaos_names") fd = clocks.names.get();
    if (fd >= 0 && ::bpf_map__reuse_fd(map, fd) != 0) return nullptr;
  }
  return skeleton;
}

}  // namespace time_chaos::syscalls
