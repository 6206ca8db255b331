#include "agent/experiment/following.h"

#include <fmt/format.h>

#include <utility>

#include "agent/vdso/clock_page.h"
#include "agent/vdso/find.h"

namespace time_chaos::experiment {
namespace {

Result<syscalls::PtraceTarget> target_of(pid_t pid) {
  TC_TRY(const auto found, vdso::find_experiment(pid));
  if (!found) return fail(Exit::kNoTarget, fmt::format("{} carries no experiment", pid));
  TC_TRY(auto opened, vdso::ClockPage::open(pid, found->clock_page()));
  auto page = std::make_shared<vdso::ClockPage>(std::move(opened));
  syscalls::PtraceTarget target;
  target.pid = pid;
  target.maps = [page] { return page->maps(); };
  if (found->record.patch_count != 0) {
    target.vdso_start = found->record.vdso;
    target.vdso_end = found->record.vdso + found->record.vdso_size;
  }
  return target;
}

}  // namespace

Result<std::unique_ptr<syscalls::PtraceEngine>> follow(const std::vector<pid_t>& pids) {
  std::vector<syscalls::PtraceTarget> targets;
  for (const pid_t pid : pids) {
    TC_TRY(auto target, target_of(pid));
    targets.push_back(std::move(target));
  }
  return syscalls::PtraceEngine::start(std::move(targets));
}

}  // namespace time_chaos::experiment
