#include "agent/experiment/family.h"

#include <algorithm>

#include "agent/vdso/find.h"

namespace time_chaos::experiment {
namespace {

bool among(const std::vector<Carrier>& members, pid_t pid) {
  return std::any_of(members.begin(), members.end(),
                     [pid](const Carrier& member) { return member.process.pid() == pid; });
}

// Of a page's number in an engine; whoever has pages of his own carries the same number.
std::string identity_in(const BpfPlace& place, uint64_t twin) {
  if (twin == 0) return "";
  for (const pid_t pid : processes_of(place)) {
    const auto found = vdso::find_experiment(pid);
    if (found && *found && (*found)->page.twin == twin) return (*found)->page_identity;
  }
  return "";
}

}  // namespace

FamilyName family_name(const Carrier& carrier) {
  if (carrier.has_pages()) return {carrier.found.page_identity, carrier.bpf};
  return {identity_in(*carrier.bpf, carrier.found.page.twin), carrier.bpf};
}

std::vector<Carrier> family(const FamilyName& name) {
  std::vector<Carrier> members;
  if (!name.page_identity.empty()) {
    for (const pid_t pid : vdso::sharers(name.page_identity)) {
      auto found = vdso::find_experiment(pid);
      auto process = targets::Process::open(pid);
      if (!found || !*found || !process) continue;
      members.push_back({std::move(*process), std::move(**found), name.place, false});
    }
  }
  if (!name.place) return members;
  for (const pid_t pid : processes_of(*name.place)) {
    if (among(members, pid)) continue;
    auto process = targets::Process::open(pid);
    if (!process) continue;
    auto carrier = carrier_at(std::move(*process), name.place, true);
    if (carrier && *carrier) members.push_back(std::move(**carrier));
  }
  return members;
}

std::vector<Carrier> survivors(const FamilyName& name, const std::string& experiment) {
  std::vector<Carrier> members = family(name);
  std::erase_if(members, [&](const Carrier& member) { return member.experiment() != experiment; });
  return members;
}

std::vector<Carrier> family(Carrier carrier) {
  std::vector<Carrier> members = family(family_name(carrier));
  if (!among(members, carrier.process.pid())) {
    members.insert(members.begin(), std::move(carrier));
  }
  return members;
}

}  // namespace time_chaos::experiment
