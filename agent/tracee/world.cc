#include "agent/tracee/world.h"

#include <algorithm>

#include "agent/base/unpreempted.h"
#include "agent/targets/process.h"
#include "agent/tracee/eintr.h"

namespace time_chaos::tracee {
namespace {

// Long enough for a thread on a loaded machine to reach its stop, short enough for a target whose
// one thread waits in vfork for a long-running child.
constexpr std::chrono::milliseconds kPatience{200};

}  // namespace

Result<StoppedWorld> StoppedWorld::stop(pid_t pid) {
  StoppedWorld world;
  for (bool any = true; any;) {
    TC_CHECK(world.seize_new(pid, targets::list_threads(pid), &any));
  }
  if (world.threads_.empty()) return fail(Exit::kNoTarget, "the process has ended");
  return world;
}

Result<StoppedWorld> StoppedWorld::stop_these(pid_t pid, const std::vector<pid_t>& tids) {
  StoppedWorld world;
  bool any = false;
  TC_CHECK(world.seize_new(pid, tids, &any));
  return world;
}

Status StoppedWorld::seize_new(pid_t pid, const std::vector<pid_t>& tids, bool* any) {
  *any = false;
  const size_t before = threads_.size();
  // Seized first, because that stops nobody: the stop begins with the first interrupt.
  for (const pid_t tid : tids) {
    const bool known =
        std::any_of(threads_.begin(), threads_.begin() + static_cast<std::ptrdiff_t>(before),
                    [&](const Thread& t) { return t.thread.tid() == tid; });
    if (known) continue;
    auto seized = SeizedThread::seize(pid, tid);
    if (seized) {
      threads_.push_back({*seized, {}, false, false, false});
    } else if (seized.error().kind() != Exit::kNoTarget) {  // else it ended meanwhile
      return fail(seized.error());
    }
  }
  if (!started_ && !threads_.empty()) {
    since_ = std::chrono::steady_clock::now();
    started_ = true;
  }
  for (size_t i = before; i < threads_.size(); i++) {
    // An error: it ended meanwhile, and await() will see that.
    (void)threads_[i].thread.request_interrupt();
  }
  for (size_t i = before; i < threads_.size(); i++) {
    TC_CHECK(await(threads_[i]));
  }
  *any = threads_.size() > before;
  std::erase_if(threads_, [](const Thread& t) { return !t.stopped && !t.asleep_in_kernel; });
  return {};
}

Status StoppedWorld::await(Thread& t) {
  for (;;) {
    const auto stop = t.thread.wait_stop(kPatience);
    if (!stop) {
      const auto status = targets::read_thread_status(t.thread.pid(), t.thread.tid());
      const auto call = targets::read_thread_syscall(t.thread.pid(), t.thread.tid());
      if (!status || status->state != 'D' || !call || call->running) return fail(stop.error());
      t.asleep_in_kernel = true;
      t.registers.set_ip(call->instruction_pointer);
      t.registers.raw.rsp = call->stack_pointer;
      return {};
    }
    switch (stop->kind) {
      case Stop::Kind::kExited:
        return {};  // dropped by the caller
      case Stop::Kind::kInterrupt:
      case Stop::Kind::kGroup: {
        auto registers = t.thread.registers();
        if (!registers) return {};
        t.registers = *registers;
        t.stopped = true;
        t.group_stop = stop->kind == Stop::Kind::kGroup;
        return {};
      }
      default:
        // Any stop clears a pending interrupt: ask anew.
        if (!t.thread.request_interrupt()) return {};
        if (!t.thread.resume(stop->kind == Stop::Kind::kSignal ? stop->signal : 0)) return {};
    }
  }
}

SeizedThread StoppedWorld::keep(const SeizedThread& thread) {
  const SeizedThread kept = thread;
  std::erase_if(threads_, [&](const Thread& t) { return t.thread.tid() == kept.tid(); });
  release();
  return kept;
}

std::chrono::nanoseconds StoppedWorld::held_for() const {
  if (!started_) return std::chrono::nanoseconds(0);
  return (released_ ? until_ : std::chrono::steady_clock::now()) - since_;
}

void StoppedWorld::release() {
  // First all registers, then all go: the threads that wait longest wait for the others' reads.
  for (Thread& t : threads_) {
    const bool minds_stops =
        t.registers.interrupted_without_restart() || t.registers.restart_block();
    if (t.stopped && minds_stops) (void)undo_our_eintr(t.thread);
  }
  {
    // Each that is let go would take the processor from us, and the others wait.
    const Unpreempted meanwhile;
    for (Thread& t : threads_) {
      if (t.stopped) (void)t.thread.detach();
    }
  }
  threads_.clear();
  if (!released_) until_ = std::chrono::steady_clock::now();
  released_ = true;
}

}  // namespace time_chaos::tracee
