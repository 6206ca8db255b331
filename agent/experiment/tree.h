// Targets with their descendants: what `status` shows.
//
// Forked children carry the experiment themselves. Programs that a target or a child of one has
// executed carry nothing but the mark of the agent that follows them by ptrace; their clock page is
// the target's, or, where that has ended or is another program by now, in the agent's memory.
#pragma once

#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/experiment/carrier.h"
#include "agent/experiment/check_carrier.h"
#include "agent/experiment/request.h"

namespace time_chaos::experiment {

// Of a program that was executed by a target or by a descendant of one.
struct Execution {
  pid_t agent = 0;          // that follows it
  pid_t target = 0;         // whose descendant it is, as its mark says
  bool page_known = false;  // else its carrier's page says nothing
};

struct Node {
  Carrier carrier;
  std::optional<Execution> executed;
  int depth = 0;
  pid_t parent = 0;                     // its ancestor in the tree; 0: none
  std::optional<Verdict> verdict = {};  // by check_all(); nothing where nothing is shifted

  [[nodiscard]] const targets::Process& process() const { return carrier.process; }
};

// The selected carriers and the programs that were executed under them, each target followed by its
// descendants. An empty selection shows all that may be looked at.
Result<std::vector<Node>> select_tree(const Selection& selection);

// Reads the clocks of each of them as they are now.
void check_all(std::vector<Node>& nodes);

}  // namespace time_chaos::experiment
