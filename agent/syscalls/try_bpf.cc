#include "agent/syscalls/try_bpf.h"

#include <fmt/format.h>

#include "agent/syscalls/bpf_engine.h"
#include "agent/syscalls/bpf_pins.h"

namespace time_chaos::syscalls {
namespace {

Error all_of(const std::vector<Error>& obstacles) {
  std::string message;
  std::string remedy;
  for (const Error& obstacle : obstacles) {
    message += (message.empty() ? "" : ", ") + obstacle.message();
    remedy += (remedy.empty() ? "" : ", ") + obstacle.remedy();
  }
  return Error(obstacles.front().kind(), message, remedy);
}

}  // namespace

Result<BpfTrial> try_bpf() {
  TC_TRY(const auto machine, targets::read_machine());
  TC_TRY(const KernelFacts kernel, read_kernel_facts());
  const auto obstacles = bpf_obstacles(machine, kernel);
  if (!obstacles.empty()) return fail(all_of(obstacles));
  TC_TRY(const BpfEngine engine, BpfEngine::start(1));
  BpfTrial trial;
  trial.hooks = fmt::format("{} ({})", name(engine.hooks().exit), engine.hooks().why);
  trial.lossy = engine.hooks().lossy;
  trial.refused = engine.refused();
  if (engine.no_guard()) trial.no_guard = engine.no_guard()->message();
  if (engine.no_time()) trial.no_time = engine.no_time()->message();
  if (engine.no_waits()) trial.no_waits = engine.no_waits()->message();
  if (engine.no_left()) trial.no_left = engine.no_left()->message();
  if (const Status pins = pins_possible(); !pins) trial.no_pins = pins.error().line();
  return trial;
}

}  // namespace time_chaos::syscalls
