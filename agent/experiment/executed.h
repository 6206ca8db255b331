// Finds the programs that are followed because a target, or a descendant of one, executed them.
#pragma once

#include <string>
#include <vector>

#include "agent/experiment/tree.h"

namespace time_chaos::experiment {

std::vector<Node> executed_programs();

// The clock pages that an agent has mapped, of experiments that are its own. None where we may not
// look.
struct HeldPage {
  tc_clock_page content{};
  std::string identity;  // as Found::page_identity
  uint64_t address = 0;  // in the agent
};
std::vector<HeldPage> pages_of(pid_t agent);

}  // namespace time_chaos::experiment
