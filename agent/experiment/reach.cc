#include "agent/experiment/reach.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "agent/experiment/executed.h"
#include "agent/experiment/owner.h"
#include "agent/experiment/select.h"
#include "agent/experiment/tree.h"

namespace time_chaos::experiment {
namespace {

// Its target, if that still carries the experiment; else whoever has the only page that its agent
// serves, which may be nobody but that.
Result<Carrier> carrier_for(Node& program, std::vector<Carrier> all) {
  const pid_t agent = program.executed->agent;
  std::erase_if(all, [&](const Carrier& carrier) {
    return !carrier.has_pages() || living_owner(carrier.found.page) != std::optional(agent);
  });
  std::set<std::string> pages;
  for (Carrier& carrier : all) {
    if (carrier.process.pid() == program.executed->target) return std::move(carrier);
    pages.insert(carrier.found.page_identity);
  }
  const auto held = pages_of(agent);
  for (const HeldPage& page : held) pages.insert(page.identity);
  if (pages.size() == 1 && !all.empty()) return std::move(all.front());
  if (pages.size() == 1) {
    program.carrier.found.page_identity = held.front().identity;
    program.carrier.in_agent = PageOfAgent{agent, held.front().address};
    return std::move(program.carrier);
  }
  return fail(Error(Exit::kFailed,
                    pages.empty() ? "its clock page is in its agent's memory, which is closed to us"
                                  : "its target has ended, and its agent has others",
                    pages.empty() ? "run as root, or end its agent with time-chaos recover"
                                  : "name a forked child of that target")
                  .because_of(fmt::format("cannot set {}", program.process().label())));
}

}  // namespace

Result<std::vector<Carrier>> select_pages(const Selection& selection) {
  TC_TRY(auto carriers, select_carriers(selection));
  TC_TRY(auto nodes, select_tree(selection));
  const auto known = [&](const Carrier& wanted) {
    return std::any_of(carriers.begin(), carriers.end(), [&](const Carrier& carrier) {
      return carrier.process.pid() == wanted.process.pid() ||
             (!wanted.found.page_identity.empty() &&
              carrier.found.page_identity == wanted.found.page_identity);
    });
  };
  for (Node& node : nodes) {
    const auto has = [](const auto& list, const auto& value) {
      return std::find(list.begin(), list.end(), value) != list.end();
    };
    // Those that were named themselves, or by an experiment that nobody else carries: the
    // descendants of others follow anyway.
    const std::string experiment = node.carrier.experiment();
    const bool named =
        has(selection.pids, node.process().pid()) || has(selection.names, node.process().name()) ||
        (has(selection.experiments, experiment) &&
         std::none_of(carriers.begin(), carriers.end(),
                      [&](const Carrier& c) { return c.experiment() == experiment; }));
    if (!node.executed || !named) continue;
    TC_TRY(auto all, select_carriers({{}, {}, {}, {}, true}));
    TC_TRY(Carrier carrier, carrier_for(node, std::move(all)));
    if (!known(carrier)) carriers.push_back(std::move(carrier));
  }
  return carriers;
}

}  // namespace time_chaos::experiment
