// What a killed agent left behind does not keep the next one from its targets: a container's agent
// is started again by the kubelet, a service by systemd, with the same words.
#include "agent/experiment/conductor.h"
#include "agent/experiment/owner.h"
#include "agent/experiment/undo.h"

namespace time_chaos::experiment {

// With the whole family, as `recover` does it. Their clocks would have gone back by themselves when
// the lease was over.
Status Conductor::recover_abandoned(const std::vector<PlannedTarget>& targets) {
  for (const PlannedTarget& target : targets) {
    if (target.abandoned.empty()) continue;
    auto held = targets::Process::open(target.process.pid());
    if (!held) continue;  // it has just ended
    TC_TRY(auto carrier, carrier_of(std::move(*held), running_engines()));
    // As one of the family of another it is recovered already.
    if (!carrier || !abandoned(carrier->found.page)) continue;
    for (const Carrier& member : family(std::move(*carrier))) {
      const auto recovered = recover_carrier(member, request_.force);
      if (recovered) events_.recovered(*recovered);
      if (!recovered && member.process.alive()) return fail(recovered.error());
    }
  }
  return {};
}

}  // namespace time_chaos::experiment
