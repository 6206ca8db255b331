#include "agent/vdso/run_stub.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "agent/targets/process.h"
#include "agent/tracee/eintr.h"
#include "agent/tracee/rseq.h"
#include "agent/tracee/seccomp.h"
#include "agent/vdso/references.h"

namespace time_chaos::vdso {
namespace {

using std::chrono::steady_clock;
using tracee::Registers;
using tracee::Stop;

constexpr int kMostAttempts = 40;
constexpr std::chrono::milliseconds kPatience{200};

class Runner {
 public:
  Runner(tracee::SeizedThread thread, tracee::Memory& memory, const StubJob& job)
      : thread_(thread), memory_(memory), job_(job) {}

  Result<StubRun> run() {
    for (run_.attempts = 1; run_.attempts <= kMostAttempts; run_.attempts++) {
      TC_TRY(const bool done, attempt());
      if (done) return run_;
    }
    return fail(
        Exit::kFailed,
        fmt::format("thread {} was interrupted by signals {} times", thread_.tid(), kMostAttempts),
        "try again");
  }

  // As the first attempt would begin. The filter comes back when the thread is let go.
  Status rehearse() {
    TC_TRY(stop_, thread_.interrupt());
    TC_TRY(const Registers stopped, thread_.registers());
    Status planned = in_stub(stopped.ip()) ? Status() : plan(stopped);
    (void)tracee::undo_our_eintr(thread_);
    TC_CHECK(thread_.detach());
    return planned;
  }

 private:
  [[nodiscard]] bool in_stub(uint64_t ip) const {
    return ip >= job_.place.address && ip < job_.place.address + job_.place.size;
  }

  // One way through the stub. False: a signal came in between, and the thread was put back.
  Result<bool> attempt() {
    TC_TRY(stop_, thread_.interrupt());
    since_ = steady_clock::now();
    TC_TRY(Registers stopped, thread_.registers());
    if (in_stub(stopped.ip())) {  // on its way home from the stub of an agent that was killed
      TC_CHECK(thread_.go_on(stop_));
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      return false;
    }
    auto prepared = prepare(&stopped);
    if (!prepared) {
      (void)tracee::undo_our_eintr(thread_);
      (void)thread_.detach();
      return fail(prepared.error());
    }
    if (calls_.empty()) {
      TC_CHECK(tracee::undo_our_eintr(thread_));
      TC_CHECK(thread_.detach());
      return true;
    }
    TC_TRY(const Way way, commit(stopped));
    auto home = way == Way::kAlone      ? wait_for_end()
                : way == Way::kAttended ? attend(stopped)
                                        : step_to_end(stopped);
    run_.stopped += steady_clock::now() - since_;
    return home;
  }

  Status prepare(Registers* stopped) {
    TC_CHECK(thread_.drop_temporary_mask());
    *stopped = tracee::without_our_eintr(thread_, *stopped);
    tracee::leave_critical_section(thread_, memory_, *stopped);
    TC_CHECK(job_.still_valid());
    TC_CHECK(plan(*stopped));
    return calls_.empty() ? Status() : write();
  }

  // All that can be refused.
  Status plan(const Registers& stopped) {
    calls_ = job_.remaining();
    if (calls_.empty()) return {};
    const uint64_t code_at = job_.place.address + sizeof(payload::StubHeader);
    stub_ = generate_stub(stopped, calls_, code_at);
    if (sizeof(payload::StubHeader) + stub_.bytes.size() > job_.place.size) {
      return fail(Exit::kUnsupported, "the vDSO of this kernel has too little room at its end");
    }
    TC_TRY(status_, targets::read_thread_status(thread_.pid(), thread_.tid()));
    return check_seccomp(stopped);
  }

  Status write() {
    payload::StubHeader header = job_.header;
    header.tid = static_cast<uint32_t>(thread_.tid());
    header.size = static_cast<uint32_t>(sizeof header + stub_.bytes.size());
    std::vector<uint8_t> image(sizeof header);
    std::copy_n(reinterpret_cast<const uint8_t*>(&header), sizeof header, image.begin());
    image.insert(image.end(), stub_.bytes.begin(), stub_.bytes.end());
    memory_.poke_through(thread_);
    auto written = memory_.write(job_.place.address, image);
    memory_.stop_poking();
    return written;
  }

  Status check_seccomp(const Registers& stopped) {
    if (status_.seccomp_mode == 0) return {};
    std::vector<tracee::PlannedCall> planned;
    for (size_t i = 0; i < calls_.size(); i++) {
      planned.push_back(
          {calls_[i].number, calls_[i].arguments, stub_.call_ends[i], calls_[i].name});
    }
    if (stopped.restart_block()) {
      planned.push_back(
          {tracee::call_numbers().restart_syscall, {}, stopped.ip(), "restart_syscall"});
    }
    return job_.suspend_seccomp ? tracee::force_through(thread_, status_.seccomp_mode, planned)
                                : tracee::check_allowed(thread_, status_.seccomp_mode, planned);
  }

  // How the thread goes: by itself; under our eyes, its signals passed on; or from system call to
  // system call.
  enum class Way { kAlone, kAttended, kStepped };

  // A signal handler that runs while a call waits to be restarted must find the call interrupted,
  // and only the kernel can decide that. Filters come back when the thread is let go. And a thread
  // whose process is stopped must not run on behind the stub.
  [[nodiscard]] Way way_of(const Registers& stopped) const {
    if (stop_.kind == Stop::Kind::kGroup) return Way::kStepped;
    const bool handlers = (status_.caught & ~status_.blocked) != 0;
    const bool minds_signals = stopped.restarting() && !stopped.restart_block() && handlers;
    return minds_signals || job_.suspend_seccomp ? Way::kAttended : Way::kAlone;
  }

  // The one step that sends the thread. Whatever happens to us from here on, it comes home by
  // itself.
  Result<Way> commit(const Registers& stopped) {
    Registers away = stopped;
    if (stopped.restarting()) {
      away.set_ip(stub_.restart_entry);
    } else {
      away.set_ip(stub_.entry);
      away.leave_call();
    }
    const Way way = way_of(stopped);
    TC_CHECK(thread_.set_registers(away));
    switch (way) {
      case Way::kAlone:
        TC_CHECK(thread_.detach());
        break;
      case Way::kAttended:
        TC_CHECK(thread_.resume());
        break;
      case Way::kStepped:
        TC_CHECK(thread_.resume_to_syscall());
    }
    return way;
  }

  // The thread is on its own.
  Result<bool> wait_for_end() {
    const auto deadline = steady_clock::now() + kPatience;
    for (;;) {
      if (job_.finished()) return true;
      if (steady_clock::now() > deadline) {
        TC_TRY(const bool on_its_way, still_on_its_way());
        if (!on_its_way || steady_clock::now() > deadline + 20 * kPatience) return ended_early();
      }
      pause();
    }
  }

  // Spinning for longer could take the CPU from the thread that is waited for.
  void pause() const {
    if (steady_clock::now() < since_ + std::chrono::microseconds(150)) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

  // Late: in the stub still (a busy machine), or in a signal handler that will return to it?
  Result<bool> still_on_its_way() {
    if (job_.finished()) return true;
    TC_TRY(auto thread, tracee::SeizedThread::seize(thread_.pid(), thread_.tid()));
    TC_TRY(const Stop stop, thread.interrupt());
    (void)stop;
    TC_TRY(const Registers now, thread.registers());
    const Ranges place{{job_.place.address, job_.place.size}};
    const bool refers = refers_to(memory_, now.ip(), now.sp(), place, kMostStack);
    (void)tracee::undo_our_eintr(thread);
    TC_CHECK(thread.detach());
    if (refers) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return refers;
  }

  // On its way, or home and not yet in the call that it came from. Then the registers that it came
  // with are the right ones: from them the kernel restarts its call, or interrupts it.
  [[nodiscard]] bool before_its_call(const Registers& now, const Registers& stopped) const {
    if (in_stub(now.ip())) return true;
    return stopped.restarting() && now.call() < 0 && now.ip() == stopped.resumed().ip();
  }

  Result<bool> attend(const Registers& stopped) {
    const auto deadline = steady_clock::now() + 5 * kPatience;
    while (!job_.finished()) {
      if (steady_clock::now() > deadline) return ended_early();
      TC_TRY(const auto stop, thread_.poll_stop());
      if (stop && stop->kind == Stop::Kind::kExited) {
        return fail(Exit::kNoTarget, "the thread ended on its way");
      }
      if (stop) {
        TC_TRY(const Registers now, thread_.registers());
        if (before_its_call(now, stopped)) TC_CHECK(thread_.set_registers(stopped));
        TC_CHECK(stop->kind == Stop::Kind::kSignal ? thread_.resume(stop->signal)
                                                   : thread_.go_on(*stop));
        return false;
      }
      pause();
    }
    TC_CHECK(thread_.request_interrupt());
    return bring_home(stopped);
  }

  // Stop by stop to the last call's exit, then back to the registers the thread came with, so that
  // the kernel restarts or interrupts its own call as if nothing had been.
  Result<bool> step_to_end(const Registers& stopped) {
    for (;;) {
      TC_TRY(const Stop stop, thread_.wait_stop(kPatience));
      switch (stop.kind) {
        case Stop::Kind::kExited:
          return fail(Exit::kNoTarget, "the thread ended on its way");
        case Stop::Kind::kSignal:
          TC_CHECK(thread_.set_registers(stopped));
          TC_CHECK(thread_.resume(stop.signal));
          return false;
        case Stop::Kind::kSyscall: {
          TC_TRY(const Registers now, thread_.registers());
          const bool at_exit = now.ip() == stub_.call_ends.back() && now.result() != -ENOSYS;
          if (at_exit) return go_home(stopped);
          if (!in_stub(now.ip())) {  // a call failed, and the stub went home
            TC_CHECK(thread_.detach());
            return ended_early();
          }
          break;
        }
        default:
          break;  // a group stop: goes on, and is stopped again when we let go
      }
      TC_CHECK(thread_.resume_to_syscall());
    }
  }

  // From the exit of a system call to a stop at which the kernel looks at signals and restarts.
  Result<bool> go_home(const Registers& stopped) {
    TC_CHECK(thread_.request_interrupt());
    TC_CHECK(thread_.resume());
    return bring_home(stopped);
  }

  // An interrupt has been asked for, and the thread runs.
  Result<bool> bring_home(const Registers& stopped) {
    for (;;) {
      TC_TRY(const Stop stop, thread_.wait_stop(kPatience));
      if (stop.kind == Stop::Kind::kExited) {
        return fail(Exit::kNoTarget, "the thread ended on its way");
      }
      TC_TRY(const Registers now, thread_.registers());
      const bool before = before_its_call(now, stopped);
      if (before) TC_CHECK(thread_.set_registers(stopped));
      if (stop.kind == Stop::Kind::kInterrupt || stop.kind == Stop::Kind::kGroup) {
        if (!before) TC_CHECK(tracee::undo_our_eintr(thread_));
        TC_CHECK(thread_.detach());
        break;
      }
      TC_CHECK(thread_.request_interrupt());  // a stop clears what was asked before
      TC_CHECK(thread_.resume(stop.kind == Stop::Kind::kSignal ? stop.signal : 0));
    }
    return job_.finished() ? Result<bool>(true) : ended_early();
  }

  Result<bool> ended_early() {
    if (job_.finished()) return true;
    const auto left = job_.remaining();
    return fail(Exit::kFailed, fmt::format("{} failed in the target",
                                           left.empty() ? "a system call" : left.front().name));
  }

  tracee::SeizedThread thread_;
  tracee::Memory& memory_;
  const StubJob& job_;
  std::vector<StubCall> calls_;
  Stub stub_;
  StubRun run_;
  targets::ProcStatus status_;  // of the stopped thread
  steady_clock::time_point since_;
  Stop stop_;
};

}  // namespace

Result<StubRun> run_stub(tracee::SeizedThread thread, tracee::Memory& memory, const StubJob& job) {
  return Runner(thread, memory, job).run();
}

Status rehearse_stub(tracee::SeizedThread thread, tracee::Memory& memory, const StubJob& job) {
  return Runner(thread, memory, job).rehearse();
}

Status wipe_stub(tracee::Memory& memory, const StubPlace& place) {
  if (place.size == 0) return {};
  return memory.write(place.address, std::vector<uint8_t>(place.size));
}

}  // namespace time_chaos::vdso
