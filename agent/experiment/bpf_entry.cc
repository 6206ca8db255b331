#include "agent/experiment/bpf_entry.h"

#include <sys/random.h>

#include <algorithm>

#include "agent/syscalls/bpf_processes.h"
#include "agent/vdso/find.h"

namespace time_chaos::experiment {

Result<std::shared_ptr<vdso::ClockPage>> enter(const targets::Process& process,
                                               const BpfPlace& place, VdsoRange detoured,
                                               uint32_t flags,
                                               const std::function<void(tc_clock_page&)>& header) {
  TC_TRY(auto page, page_at(place));
  TC_CHECK(page.publish(clock::identity_maps(), [&](tc_clock_page& first) {
    first.magic = TC_PAGE_MAGIC;
    first.version = TC_PAGE_VERSION;
    header(first);
  }));
  TC_TRY(const auto kernel, syscalls::kernel_process(process.pid()));
  tc_bpf_target target{};
  target.started_first = kernel.started_first;
  target.started_last = kernel.started_last;
  target.vdso_start = detoured.start;
  target.vdso_end = detoured.end;
  target.page = place.page;
  target.flags = flags;
  TC_CHECK(place.engine->put(kernel.tgid, target));
  // Then what was entered is this process, and nobody who got its id since.
  if (!process.alive()) {
    TC_CHECK(place.engine->drop(kernel.tgid));
    return fail(Exit::kNoTarget, "the process has ended");
  }
  return std::make_shared<vdso::ClockPage>(std::move(page));
}

Status expel_children_without_page(const BpfPlace& place, const std::string& page_identity) {
  std::vector<syscalls::BpfState::Entry> children = place.engine->targets();
  std::erase_if(children, [&](const auto& entry) {
    const uint32_t flags = entry.second.flags;
    const bool with_page = (flags & TC_BPF_FORKED) != 0 && (flags & TC_BPF_EXECED) == 0;
    return entry.second.page != place.page || !with_page;
  });
  if (children.empty()) return {};
  TC_TRY(const auto processes, syscalls::kernel_processes());
  for (const auto& [tgid, target] : children) {
    const auto process = std::find_if(processes.begin(), processes.end(),
                                      [tgid = tgid](const auto& p) { return p.tgid == tgid; });
    if (process == processes.end()) continue;  // it has ended, or is not for us to see
    const auto found = vdso::find_experiment(process->pid);
    const bool has_page = found && *found && (*found)->page_identity == page_identity;
    if (!has_page) TC_CHECK(place.engine->drop(tgid));
  }
  return {};
}

uint64_t make_twin_number() {
  uint64_t number = 0;
  while (number == 0) {
    if (::getrandom(&number, sizeof number, 0) != sizeof number) number = 0;
  }
  return number;
}

}  // namespace time_chaos::experiment
