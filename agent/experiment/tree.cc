#include "agent/experiment/tree.h"

#include <algorithm>
#include <functional>
#include <map>

#include "agent/experiment/executed.h"
#include "agent/experiment/owner.h"
#include "agent/experiment/select.h"

namespace time_chaos::experiment {
namespace {

constexpr int kMostGenerations = 1000;

// Who serves it: descendants are shown only under processes of the same agent and experiment.
pid_t agent_of(const Node& node) {
  if (node.executed) return node.executed->agent;
  return living_owner(node.carrier.found.page).value_or(0);
}

bool related(const Node& parent, const Node& child) {
  if (agent_of(parent) != agent_of(child)) return false;
  if (parent.executed || child.executed) return true;
  return parent.carrier.experiment() == child.carrier.experiment();
}

class Tree {
 public:
  explicit Tree(std::vector<Node> nodes) : nodes_(std::move(nodes)) {
    for (size_t i = 0; i < nodes_.size(); i++) places_[nodes_[i].process().pid()] = i;
    for (size_t i = 0; i < nodes_.size(); i++) children_[parent_of(i)].push_back(i);
  }

  // Depth first. `wanted`: those that are shown, with all below them.
  std::vector<Node> in_order(const std::function<bool(const Node&)>& wanted) {
    std::vector<Node> order;
    for (const size_t root : children_[0]) add(root, 0, 0, wanted, false, order);
    return order;
  }

 private:
  // The nearest ancestor that is in the tree; else, for a program whose parents have ended, its
  // target. As a pid; 0: none.
  pid_t parent_of(size_t index) {
    const Node& node = nodes_[index];
    pid_t pid = node.process().pid();
    for (int i = 0; i < kMostGenerations; i++) {
      const auto status = targets::read_status(pid);
      if (!status || status->parent == 0) break;
      pid = status->parent;
      const auto found = places_.find(pid);
      if (found != places_.end() && related(nodes_[found->second], node)) return pid;
    }
    if (!node.executed || node.executed->target == node.process().pid()) return 0;
    const auto target = places_.find(node.executed->target);
    if (target == places_.end() || !related(nodes_[target->second], node)) return 0;
    return node.executed->target;
  }

  void add(size_t index, int depth, pid_t parent, const std::function<bool(const Node&)>& wanted,
           bool above, std::vector<Node>& order) {
    Node& node = nodes_[index];
    const pid_t pid = node.process().pid();
    const bool shown = above || wanted(node);
    if (shown) {
      node.depth = depth;
      node.parent = parent;
      order.push_back(std::move(node));
    }
    for (const size_t child : children_[pid]) {
      add(child, shown ? depth + 1 : depth, shown ? pid : 0, wanted, shown, order);
    }
  }

  std::vector<Node> nodes_;
  std::map<pid_t, size_t> places_;
  std::map<pid_t, std::vector<size_t>> children_;
};

bool selects(const Selection& selection, const Node& node) {
  const auto has = [](const auto& list, const auto& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  return selection.empty() || selection.all || has(selection.pids, node.process().pid()) ||
         has(selection.names, node.process().name()) ||
         has(selection.experiments, node.carrier.experiment());
}

}  // namespace

Result<std::vector<Node>> select_tree(const Selection& selection) {
  // Refuses what is not there.
  TC_TRY(auto chosen, select_carriers(selection));
  std::vector<pid_t> selected;
  for (const Carrier& carrier : chosen) selected.push_back(carrier.process.pid());
  if (!selection.empty()) {
    TC_TRY(chosen, select_carriers({{}, {}, {}, {}, true}));
  }
  std::vector<Node> nodes;
  for (Carrier& carrier : chosen) nodes.push_back({std::move(carrier), std::nullopt, 0, 0});
  for (Node& program : executed_programs()) {
    const bool carries = std::any_of(nodes.begin(), nodes.end(), [&](const Node& node) {
      return node.process().pid() == program.process().pid();
    });
    if (!carries) nodes.push_back(std::move(program));
  }
  return Tree(std::move(nodes)).in_order([&](const Node& node) {
    const pid_t pid = node.process().pid();
    return std::find(selected.begin(), selected.end(), pid) != selected.end() ||
           selects(selection, node);
  });
}

void check_all(std::vector<Node>& nodes) {
  CarrierCheck check;
  for (Node& node : nodes) {
    const Carrier& carrier = node.carrier;
    const bool shifted =
        carrier.found.state == vdso::State::kShifted && !carrier.experiment().empty();
    if (!shifted && !node.executed) continue;
    Verdict& verdict = node.verdict.emplace();
    auto seen = node.executed ? Result<std::vector<Checked>>() : check.run(carrier);
    if (!seen) {
      verdict.why_not = seen.error().message();
      verdict.wrong = seen.error().kind() == Exit::kFailed;
    } else if (seen->empty()) {
      verdict.why_not = carrier.found.fake
                            ? "it leads to its library, and what that shows only it can tell"
                            : "only its agent sees its system calls";
    } else {
      verdict.seen = std::move(*seen);
    }
  }
}

}  // namespace time_chaos::experiment
