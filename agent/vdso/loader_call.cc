#include "agent/vdso/loader_call.h"

#include <fmt/format.h>
#include <sched.h>

#include <cstddef>
#include <thread>

#include "agent/targets/process.h"
#include "agent/tracee/eintr.h"
#include "agent/vdso/safe_point.h"

namespace time_chaos::vdso {
namespace {

using std::chrono::steady_clock;
using tracee::Registers;
using tracee::SeizedThread;
using tracee::Stop;

// Of a loader at work. A busy machine, a slow file system of a library that ours needs.
constexpr std::chrono::seconds kPatience(20);
constexpr std::chrono::milliseconds kForStop(2000);
constexpr uint64_t kAllSignals = ~uint64_t{0};

Status check_filters(const SeizedThread& thread) {
  TC_TRY(const auto status, targets::read_thread_status(thread.pid(), thread.tid()));
  if (status.seccomp_mode == 0) return {};
  const auto calls = calls_of_loading();
  auto allowed = tracee::check_allowed(thread, status.seccomp_mode, calls);
  if (allowed) return {};
  return fail(
      allowed.error().with_remedy("no filter that keeps its loader from its work is suspended: "
                                  "shift it with --offset and its like"));
}

class Caller {
 public:
  Caller(tracee::Memory& memory, uint64_t place, tc_fake_call call)
      : memory_(memory), place_(place), call_(call) {}

  Result<LoaderRun> run(const SafePoint& point) {
    since_ = steady_clock::now();
    thread_ = point.thread;
    if (auto sent = send(point); !sent) {
      (void)tracee::undo_our_eintr(*thread_);
      (void)thread_->detach();
      return fail(sent.error());
    }
    TC_CHECK(wait_for_end());
    TC_CHECK(bring_home(point));
    LoaderRun run{};
    run.stopped = steady_clock::now() - since_;
    TC_TRY(run.call, memory_.read_value<tc_fake_call>(call_at()));
    return run;
  }

 private:
  [[nodiscard]] uint64_t call_at() const { return place_ + payload::kFakeCallOffset; }

  // The registers commit it: whatever happens to us from then on, the thread comes home. The mask
  // comes behind them, so that no thread is ever left with all signals blocked.
  Status send(const SafePoint& point) {
    TC_CHECK(thread_->drop_temporary_mask());
    TC_TRY(call_.mask, thread_->signal_mask());
    call_.home = point.registers.resumed().ip();
    call_.interrupted = point.interrupted.ip();
    call_.state = TC_FAKE_ASKED;
    memory_.poke_through(*thread_);
    auto written = memory_.write_value(call_at(), call_);
    memory_.stop_poking();
    TC_CHECK(written);
    Registers away = point.registers;
    const bool restarts = away.restarting();
    away.set_ip(place_ +
                (restarts ? payload::fake_restart_offset() : payload::fake_enter_offset()));
    if (!restarts) away.leave_call();
    TC_CHECK(thread_->set_registers(away));
    (void)thread_->set_signal_mask(kAllSignals);
    return thread_->resume();
  }

  Status ended() const { return fail(Exit::kNoTarget, "it ended while its loader was at work"); }

  Status wait_for_end() {
    const auto deadline = steady_clock::now() + kPatience;
    for (;;) {
      const auto state = memory_.read_value<uint32_t>(call_at() + offsetof(tc_fake_call, state));
      if (!state) return ended();
      if (*state >= TC_FAKE_DONE) return {};
      TC_TRY(const auto stop, thread_->poll_stop());
      if (stop && stop->kind == Stop::Kind::kExited) return ended();
      if (stop) {
        TC_CHECK(stop->kind == Stop::Kind::kSignal ? thread_->resume(stop->signal)
                                                   : thread_->go_on(*stop));
      }
      if (steady_clock::now() > deadline) break;
      pause();
    }
    return fail(
        Exit::kFailed,
        fmt::format("its loader does not come to an end in thread {}: does a constructor, or a "
                    "destructor, wait for something?",
                    thread_->tid()),
        "it goes on by itself; recover the target then");
  }

  void pause() const {
    if (steady_clock::now() < since_ + std::chrono::microseconds(300)) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(30));
    }
  }

  // Back to the registers and the mask that it came with, so that the kernel restarts or interrupts
  // its call as if nothing had been. One that is leaving by itself is let go.
  Status bring_home(const SafePoint& point) {
    for (;;) {
      TC_CHECK(thread_->request_interrupt());
      TC_TRY(const Stop stop, thread_->wait_stop(kForStop));
      if (stop.kind == Stop::Kind::kExited) return ended();
      if (stop.kind == Stop::Kind::kInterrupt || stop.kind == Stop::Kind::kGroup) break;
      TC_CHECK(thread_->resume(stop.kind == Stop::Kind::kSignal ? stop.signal : 0));
    }
    // Stopped: what it says of itself holds.
    TC_TRY(const auto state,
           memory_.read_value<uint32_t>(call_at() + offsetof(tc_fake_call, state)));
    if (state == TC_FAKE_DONE) {
      TC_CHECK(thread_->set_signal_mask(call_.mask));
      TC_CHECK(thread_->set_registers(signal_waits() ? point.interrupted : point.registers));
    } else {
      TC_CHECK(tracee::undo_our_eintr(*thread_));
    }
    return thread_->detach();
  }

  // For a call that only knows EINTR: then it has to end with that.
  [[nodiscard]] bool signal_waits() const {
    const auto status = targets::read_thread_status(thread_->pid(), thread_->tid());
    if (!status) return false;
    return ((status->pending | status->shared_pending) & ~call_.mask) != 0;
  }

  tracee::Memory& memory_;
  uint64_t place_;
  tc_fake_call call_;
  std::optional<SeizedThread> thread_;
  steady_clock::time_point since_;
};

}  // namespace

Status rehearse_loader(pid_t pid, const tracee::Memory& memory, const Loader& loader) {
  TC_TRY(SafePoint point, find_safe_point(pid, memory, loader, check_filters));
  TC_CHECK(tracee::undo_our_eintr(point.thread));
  return point.thread.detach();
}

Result<LoaderRun> call_loader(pid_t pid, tracee::Memory& memory, const Loader& loader,
                              uint64_t place, tc_fake_call call) {
  TC_TRY(const SafePoint point, find_safe_point(pid, memory, loader, check_filters));
  return Caller(memory, place, call).run(point);
}

}  // namespace time_chaos::vdso
