// A target and what came of it: forked children, which share its clock page, and programs that any
// of them executed, which the BPF engine shows the same page. They are changed and recovered
// together.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/experiment/carrier.h"

namespace time_chaos::experiment {

// What is known of a family without any of its members.
struct FamilyName {
  std::string page_identity;      // of the shared clock page; empty: none has one
  std::optional<BpfPlace> place;  // in the BPF engine
};
FamilyName family_name(const Carrier& carrier);

// Those that live, with their pages first; executed programs last.
std::vector<Carrier> family(const FamilyName& name);
// Those of them that still are of that experiment.
std::vector<Carrier> survivors(const FamilyName& name, const std::string& experiment);
// `carrier` is among them also if nothing but itself names it.
std::vector<Carrier> family(Carrier carrier);

}  // namespace time_chaos::experiment
