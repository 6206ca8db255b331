// Whose clock page has to change for a selected process: its own, or, for a program that was
// executed under ptrace and has none, its family's, or the one that its agent keeps.
#pragma once

#include <vector>

#include "agent/experiment/carrier.h"
#include "agent/experiment/request.h"

namespace time_chaos::experiment {

// Each page once. kFailed, with the remedy, where a selected program's page is nowhere to be
// reached.
Result<std::vector<Carrier>> select_pages(const Selection& selection);

}  // namespace time_chaos::experiment
