#include "agent/experiment/check_carrier.h"

namespace time_chaos::experiment {

Result<std::vector<Checked>> CarrierCheck::run(const Carrier& carrier) {
  std::vector<Checked> checked;
  if (carrier.in_agent) return checked;  // only that one sees its system calls
  if (carrier.has_pages()) {
    TC_TRY(const auto found, vdso::find_experiment(carrier.process.pid()));
    if (!found) return fail(Exit::kNoTarget, "the experiment ended meanwhile");
    if (found->record.patch_count != 0 || found->slots) {
      TC_TRY(auto seen, check_vdso(carrier.process.pid(), *found));
      if (!found->fake) checked.push_back(std::move(seen));
    }
  }
  if (!carrier.bpf) return checked;
  const std::pair place(carrier.bpf->engine->id(), carrier.bpf->page);
  auto known = places_.find(place);
  if (known == places_.end()) {
    known = places_.emplace(place, check_syscalls(*carrier.bpf)).first;
  }
  if (!known->second) return fail(known->second.error());
  checked.push_back(*known->second);
  return checked;
}

}  // namespace time_chaos::experiment
