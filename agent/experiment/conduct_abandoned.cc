// What a killed agent left behind does not keep the next one from its targets: a container's agent
// is started again by the kubelet, a service by systemd, with the same words.
#include "agent/experiment/conductor.h"
#include "agent/experiment/owner.h"
#include "agent/experiment/undo.h"
#include "agent/vdso/find.h"

namespace time_chaos::experiment {

// With the whole family, as `recover` does it. Their clocks would have gone back by themselves when
// the lease was over. What cannot be read is refused, with its reason, when it is planned.
Status Conductor::recover_abandoned(const std::vector<targets::Process>& processes) {
  for (const targets::Process& process : processes) {
    const auto found = vdso::find_experiment(process.pid());
    if (!found || !*found || (*found)->state != vdso::State::kShifted) continue;
    if (!abandoned((*found)->page)) continue;
    auto held = targets::Process::open(process.pid());
    if (!held) continue;  // it has just ended
    TC_TRY(auto carrier, carrier_of(std::move(*held), running_engines()));
    if (!carrier) continue;
    for (const Carrier& member : family(std::move(*carrier))) {
      const auto recovered = recover_carrier(member, request_.force);
      if (recovered) events_.recovered(*recovered);
      if (!recovered && member.process.alive()) return fail(recovered.error());
    }
  }
  return {};
}

}  // namespace time_chaos::experiment
