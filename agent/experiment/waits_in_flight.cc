#include "agent/experiment/waits_in_flight.h"

#include "agent/experiment/family.h"
#include "agent/tracee/waits_anew.h"

namespace time_chaos::experiment {

void begin_waits_anew(pid_t pid, const std::optional<BpfPlace>& place) {
  if (place && place->engine->shifts_waits()) (void)tracee::begin_waits_anew(pid);
}

void begin_waits_anew(const Carrier& carrier) {
  if (!carrier.bpf || !carrier.bpf->engine->shifts_waits()) return;
  bool among_them = false;
  for (const Carrier& member : family(family_name(carrier))) {
    among_them = among_them || member.process.pid() == carrier.process.pid();
    begin_waits_anew(member.process.pid(), member.bpf);
  }
  if (!among_them) begin_waits_anew(carrier.process.pid(), carrier.bpf);
}

}  // namespace time_chaos::experiment
