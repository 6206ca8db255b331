// Finds the programs that are followed because a target, or a descendant of one, executed them.
#pragma once

#include <vector>

#include "agent/experiment/tree.h"

namespace time_chaos::experiment {

std::vector<Node> executed_programs();

}  // namespace time_chaos::experiment
