#include "agent/experiment/reach.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "agent/experiment/owner.h"
#include "agent/experiment/select.h"
#include "agent/experiment/tree.h"

namespace time_chaos::experiment {
namespace {

// Its target, if that still carries the experiment; else the only page that its agent serves.
Result<Carrier> carrier_for(const Node& program, std::vector<Carrier> all) {
  std::erase_if(all, [&](const Carrier& carrier) {
    return !carrier.has_pages() ||
           living_owner(carrier.found.page) != std::optional(program.executed->agent);
  });
  std::set<std::string> pages;
  for (Carrier& carrier : all) {
    if (carrier.process.pid() == program.executed->target) return std::move(carrier);
    pages.insert(carrier.found.page_identity);
  }
  if (pages.size() == 1) return std::move(all.front());
  return fail(Error(Exit::kFailed,
                    pages.empty() ? "nobody is left who has its clock page in his memory"
                                  : "its target has ended, and its agent has others",
                    pages.empty() ? "end its agent with time-chaos recover and start it anew"
                                  : "name a forked child of that target")
                  .because_of(fmt::format("cannot set {}", program.process().label())));
}

}  // namespace

Result<std::vector<Carrier>> select_pages(const Selection& selection) {
  TC_TRY(auto carriers, select_carriers(selection));
  TC_TRY(const auto nodes, select_tree(selection));
  const auto known = [&](const Carrier& wanted) {
    return std::any_of(carriers.begin(), carriers.end(), [&](const Carrier& carrier) {
      return carrier.process.pid() == wanted.process.pid() ||
             (!wanted.found.page_identity.empty() &&
              carrier.found.page_identity == wanted.found.page_identity);
    });
  };
  for (const Node& node : nodes) {
    const auto has = [](const auto& list, const auto& value) {
      return std::find(list.begin(), list.end(), value) != list.end();
    };
    // Those that were named themselves: their targets' descendants follow anyway.
    const bool named =
        has(selection.pids, node.process().pid()) || has(selection.names, node.process().name());
    if (!node.executed || !named) continue;
    TC_TRY(auto all, select_carriers({{}, {}, {}, {}, true}));
    TC_TRY(Carrier carrier, carrier_for(node, std::move(all)));
    if (!known(carrier)) carriers.push_back(std::move(carrier));
  }
  return carriers;
}

}  // namespace time_chaos::experiment
