#include "agent/experiment/executed.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "agent/experiment/owner.h"
#include "agent/tracee/hidden_vdso.h"

namespace time_chaos::experiment {
namespace {

bool same_clocks(const tc_clock_page& a, const tc_clock_page& b) {
  const clock::ClockMaps one = clock::maps_in_force(a);
  const clock::ClockMaps other = clock::maps_in_force(b);
  return a.clocks == b.clocks && std::memcmp(one.data(), other.data(), sizeof one.maps) == 0 &&
         std::memcmp(&one.table, &other.table, sizeof one.table) == 0;
}

// Its target's; else what the agent has, if that leaves no doubt.
std::optional<tc_clock_page> page_for(pid_t target, pid_t agent) {
  const auto found = vdso::find_experiment(target);
  if (found && *found && living_owner((*found)->page) == agent) return (*found)->page;
  const auto pages = pages_of(agent);
  if (pages.empty()) return std::nullopt;
  const bool alike = std::all_of(pages.begin(), pages.end(), [&](const auto& page) {
    return same_clocks(page.content, pages.front().content);
  });
  return alike ? std::optional(pages.front().content) : std::nullopt;
}

// The mark stays when an agent dies, and a debugger may trace the program then.
bool is_agent(pid_t pid, const targets::ProcStatus& status) {
  struct stat own {};
  struct stat other {};
  if (status.name == "time-chaos") return true;
  return ::stat("/proc/self/exe", &own) == 0 &&
         ::stat(fmt::format("/proc/{}/exe", pid).c_str(), &other) == 0 &&
         own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

std::optional<Node> executed(pid_t pid) {
  const auto status = targets::read_status(pid);
  if (!status || status->tracer == 0) return std::nullopt;
  const auto tracer = targets::read_status(status->tracer);
  const auto stack = targets::read_stack_start(pid);
  const auto memory = tracee::Memory::open(pid);
  if (!tracer || !stack || !memory) return std::nullopt;
  const auto target = tracee::read_mark(*memory, *stack);
  auto process = targets::Process::open(pid);
  if (!target || !process) return std::nullopt;
  const auto page = page_for(*target, tracer->tgid);
  if (!page && !is_agent(tracer->tgid, *tracer)) return std::nullopt;
  vdso::Found found;
  found.state = vdso::State::kShifted;
  if (page) found.page = *page;
  return Node{{std::move(*process), std::move(found), std::nullopt},
              Execution{tracer->tgid, *target, page.has_value()},
              0,
              0};
}

}  // namespace

std::vector<HeldPage> pages_of(pid_t agent) {
  std::vector<HeldPage> pages;
  const auto mappings = targets::Mappings::read(agent);
  const auto memory = tracee::Memory::open(agent);
  if (!mappings || !memory) return pages;
  for (const targets::Mapping& mapping : mappings->all()) {
    if (mapping.size() != TC_PAGE_SIZE || mapping.perms != "rw-s") continue;
    const auto page = memory->read_value<tc_clock_page>(mapping.start);
    if (page && page->magic == TC_PAGE_MAGIC && living_owner(*page) == agent) {
      pages.push_back({*page, vdso::identity_of(mapping), mapping.start});
    }
  }
  return pages;
}

std::vector<Node> executed_programs() {
  std::vector<Node> list;
  for (const pid_t pid : targets::list_processes()) {
    if (auto program = executed(pid)) list.push_back(std::move(*program));
  }
  return list;
}

}  // namespace time_chaos::experiment
