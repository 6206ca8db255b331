// From what the user selected to processes.
#pragma once

#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/carrier.h"
#include "agent/experiment/request.h"
#include "agent/targets/process.h"

namespace time_chaos::experiment {

// Every process selected, each once. kNoTarget, naming the selector, for one that selects nothing;
// kUsage for an empty selection. A process that ends meanwhile is left out if a name selected it.
Result<std::vector<targets::Process>> select(const Selection& selection);
// The same by the selection's selectors(), which know what they have found before. `remedy`: what
// to do about one that selects nothing.
Result<std::vector<targets::Process>> select(const Selection& selection,
                                             const std::vector<targets::Selector>& selectors,
                                             const char* remedy);

// Of the selected processes, those that carry an experiment or what is left of one. An empty
// selection looks at every process that may be looked at.
Result<std::vector<Carrier>> select_carriers(const Selection& selection);

}  // namespace time_chaos::experiment
