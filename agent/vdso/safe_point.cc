#include "agent/vdso/safe_point.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "agent/targets/mappings.h"
#include "agent/targets/process.h"
#include "agent/tracee/eintr.h"
#include "agent/tracee/world.h"

namespace time_chaos::vdso {
namespace {

using std::chrono::steady_clock;
using tracee::StoppedWorld;
using Thread = StoppedWorld::Thread;

constexpr std::chrono::seconds kPatience(5);
constexpr std::chrono::milliseconds kPause(20);
constexpr uint64_t kDepth = uint64_t{8} << 20;
// An allocator that waits has called a function of the C library that waits, or one that has called
// that: they need some hundred bytes of stack.
constexpr uint64_t kNear = 1024;

bool inside(uint64_t address, const Ranges& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const auto& range) { return address - range.start < range.size; });
}

class Search {
 public:
  Search(pid_t pid, const tracee::Memory& memory, const Loader& loader)
      : pid_(pid), memory_(memory), loader_(loader) {
    busy_ = loader.library;
    busy_.insert(busy_.end(), loader.loader.begin(), loader.loader.end());
    busy_.insert(busy_.end(), loader.allocator.begin(), loader.allocator.end());
  }

  // Worth to stop everybody for it. From outside, without a stop.
  [[nodiscard]] bool any_waits() {
    for (const pid_t tid : targets::list_threads(pid_)) {
      const auto call = targets::read_thread_syscall(pid_, tid);
      if (!call) return true;  // some kernels do not tell
      if (call->running || call->number < 0) {
        why_ = fmt::format("thread {} runs", tid);
        continue;
      }
      const auto wait = wait_of(call->number, call->arguments[1]);
      if (wait && is_harmless(*wait, loader_)) return true;
      why_ = fmt::format("thread {} is in system call {}", tid, call->number);
    }
    return false;
  }

  // The registers with which it goes on; nothing: it would not do.
  [[nodiscard]] std::optional<tracee::Registers> usable(const std::vector<Thread>& all,
                                                        const Thread& thread,
                                                        const targets::Mappings& mappings) {
    if (!thread.stopped || thread.group_stop || thread.registers.narrow()) return std::nullopt;
    const tracee::Registers& stopped = thread.registers;
    const pid_t tid = thread.thread.tid();
    if (!stopped.restarting() && !stopped.interrupted_without_restart()) return std::nullopt;
    const auto wait = wait_of(stopped.call(), stopped.argument(1));
    if (!wait || !is_harmless(*wait, loader_)) return std::nullopt;
    if (inside(stopped.ip(), loader_.loader)) return std::nullopt;
    const auto same = std::count_if(all.begin(), all.end(), [&](const Thread& other) {
      return other.stopped && other.registers.raw.fs_base == stopped.raw.fs_base;
    });
    if (same != 1 || stopped.raw.fs_base == 0) {
      why_ = fmt::format("thread {} has no thread-local memory of its own", tid);
      return std::nullopt;
    }
    const uint64_t end = stack_end(mappings, stopped.sp());
    if (interrupted_in(memory_, stopped.sp(), busy_, kDepth, end)) {
      why_ = fmt::format("thread {} is in a signal handler, or may be", tid);
      return std::nullopt;
    }
    if (*wait != Wait::kEvent && !loader_.allocator.empty() &&
        refers_to(memory_, stopped.ip(), stopped.sp(), loader_.allocator, kNear, end)) {
      why_ = fmt::format("thread {} may be in its allocator", tid);
      return std::nullopt;
    }
    const auto registers = tracee::without_our_eintr(thread.thread, stopped);
    // A signal has ended its call: it is about to handle that.
    if (!registers.restarting() && registers == stopped) return std::nullopt;
    return registers;
  }

  [[nodiscard]] const std::string& why() const { return why_; }

 private:
  pid_t pid_;
  const tracee::Memory& memory_;
  const Loader& loader_;
  Ranges busy_;
  std::string why_ = "it has no thread";
};

}  // namespace

bool is_harmless(Wait wait, const Loader& loader) {
  switch (wait) {
    case Wait::kEvent:
      return true;
    case Wait::kRead:
      return loader.apart;
    case Wait::kSleep:
      return !loader.foreign_allocator;
    case Wait::kCondition:
      return loader.apart && !loader.foreign_allocator;
  }
  return false;
}

Result<SafePoint> find_safe_point(pid_t pid, const tracee::Memory& memory, const Loader& loader,
                                  const std::function<Status(tracee::SeizedThread&)>& accept) {
  Search search(pid, memory, loader);
  const auto deadline = steady_clock::now() + kPatience;
  for (;;) {
    if (search.any_waits()) {
      TC_TRY(StoppedWorld world, StoppedWorld::stop(pid));
      TC_TRY(const targets::Mappings mappings, targets::Mappings::read(pid));
      for (Thread& thread : world.threads()) {
        const auto registers = search.usable(world.threads(), thread, mappings);
        if (!registers) continue;
        TC_CHECK(accept(thread.thread));
        const tracee::Registers stopped = thread.registers;
        return SafePoint{world.keep(thread.thread), stopped, *registers};
      }
    }
    if (steady_clock::now() > deadline) break;
    std::this_thread::sleep_for(kPause);
  }
  return fail(
      Exit::kUnsupported,
      fmt::format("no thread of it came to a point at which a library can be loaded ({})",
                  search.why()),
      "that is one that waits for something outside (poll, accept, sleep, a condition); try "
      "again");
}

}  // namespace time_chaos::vdso
