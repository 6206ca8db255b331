#include "bpf_target.h"

#include <sys/wait.h>
#include <unistd.h>

#include "agent/syscalls/bpf_engine.h"
#include "agent/syscalls/bpf_processes.h"
#include "agent/targets/machine.h"

namespace time_chaos::testing {
void LoadedEngine::Unmap::operator()(void* pages) const {
  ::munmap(pages, size_t{kEnginePages} * TC_PAGE_SIZE);
}

Result<LoadedEngine> LoadedEngine::load(const syscalls::Hooks& hooks, bool with_time) {
  TC_TRY(const auto machine, targets::read_machine());
  TC_TRY(const auto kernel, syscalls::read_kernel_facts());
  TC_CHECK(syscalls::bpf_permitted(machine, kernel));
  TC_TRY(auto loaded, syscalls::load_clocks(hooks, kEnginePages));
  if (with_time) TC_CHECK(syscalls::add_time(loaded));
  LoadedEngine engine;
  engine.links_ = std::move(loaded.links);
  TC_TRY(auto state,
         syscalls::BpfState::over({std::move(loaded.targets), std::move(loaded.pages),
                                   std::move(loaded.counts), std::move(loaded.programs)}));
  engine.state_ = std::make_shared<const syscalls::BpfState>(std::move(state));
  void* pages = ::mmap(nullptr, size_t{kEnginePages} * TC_PAGE_SIZE, PROT_READ | PROT_WRITE,
                       MAP_SHARED, engine.state_->pages_fd(), 0);
  if (pages == MAP_FAILED) return fail_errno("map the pages");
  engine.pages_.reset(pages);
  return engine;
}

tc_clock_page& LoadedEngine::page(uint32_t number) const {
  return static_cast<tc_clock_page*>(pages_.get())[number];
}

void LoadedEngine::put(uint32_t number, const clock::ClockMaps& maps) const {
  tc_clock_page& into = page(number);
  const uint32_t latch = tc_next_latch(into.latch);
  const bool second = (latch & TC_COPY_STRIDE) != 0;
  std::copy(maps.begin(), maps.end(), second ? into.maps1 : into.maps0);
  (second ? into.table1 : into.table0) = maps.table;
  __atomic_store_n(&into.latch, latch, __ATOMIC_SEQ_CST);
}

void LoadedEngine::shift(uint32_t number, int64_t seconds) const {
  put(number, shifted_maps(seconds * 1'000'000'000));
}

Status LoadedEngine::enter(pid_t pid, uint32_t number, uint64_t vdso_start, uint64_t vdso_end,
                           uint32_t flags) const {
  TC_TRY(const auto process, syscalls::kernel_process(pid));
  return state_->put(process.tgid, {process.started_first, process.started_last, vdso_start,
                                    vdso_end, number, flags});
}

const Result<LoadedEngine>& SharedEngine::get(const syscalls::Hooks& hooks) {
  if (!engine_) engine_.emplace(LoadedEngine::load(hooks));
  return *engine_;
}

int run_as_target(const LoadedEngine& engine, uint32_t page, const std::function<int()>& body,
                  uint32_t flags) {
  int ends[2];
  if (::pipe(ends) != 0) return -1;
  Target child([&] {
    char word = 0;
    (void)!::read(ends[0], &word, 1);
    return body();
  });
  const bool entered = engine.enter(child.pid(), page, 0, 0, flags).has_value();
  (void)!::write(ends[1], "x", 1);
  const int status = child.wait();
  ::close(ends[0]);
  ::close(ends[1]);
  return entered && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace time_chaos::testing
