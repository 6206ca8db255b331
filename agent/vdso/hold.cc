#include "agent/vdso/hold.h"

#include <poll.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "agent/targets/process.h"
#include "agent/tracee/candidate.h"
#include "agent/tracee/eintr.h"

namespace time_chaos::vdso {
namespace {

constexpr int kLockRounds = 300;  // of 10 ms
constexpr int kRounds = 20;

bool has_ended(const ScopedFd& pidfd) {
  pollfd ended{pidfd.get(), POLLIN, 0};
  return ::poll(&ended, 1, 0) == 1;
}

// A vfork parent is back soon, mostly.
Result<tracee::SeizedThread> seize_worker(pid_t pid, const ScopedFd& pidfd) {
  for (int round = 0;; round++) {
    const auto tids = tracee::candidates(pid);
    if (tids) {
      auto worker = tracee::SeizedThread::seize(pid, tids->front());
      const bool ended = !worker && worker.error().kind() == Exit::kNoTarget;
      if (!ended || round == kRounds) return worker;
      continue;
    }
    if (has_ended(pidfd)) return fail(Exit::kNoTarget, "the process has ended");
    if (round == kRounds) return fail(tids.error());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

Result<Hold> Hold::take(pid_t pid) {
  ScopedFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) {
    if (errno == ESRCH) return fail(Exit::kNoTarget, "the process has ended");
    return fail_errno("pidfd_open");
  }
  for (int round = 0; ::flock(pidfd.get(), LOCK_EX | LOCK_NB) != 0; round++) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno("lock the target");
    if (round == kLockRounds) {
      return fail(Exit::kFailed, "another agent is changing it", "try again");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return Hold(pid, std::move(pidfd));
}

Result<StubRun> Hold::run(tracee::Memory& memory, const StubJob& job) const {
  for (int round = 0;; round++) {
    TC_TRY(const tracee::SeizedThread worker, seize_worker(pid_, lock_));
    auto run = run_stub(worker, memory, job);
    const bool ended = !run && run.error().kind() == Exit::kNoTarget;
    if (!ended || has_ended(lock_) || round == kRounds || !memory.present(job.place.address))
      return run;
  }
}

Status Hold::rehearse(tracee::Memory& memory, const StubJob& job) const {
  const auto tids = tracee::candidates(pid_);
  if (!tids) return {};  // run() waits for one
  const auto status = targets::read_thread_status(pid_, tids->front());
  if (!status || status->seccomp_mode == 0) return {};
  TC_TRY(const tracee::SeizedThread worker, tracee::SeizedThread::seize(pid_, tids->front()));
  return rehearse_stub(worker, memory, job);
}

Status Hold::write(tracee::Memory& memory, const std::function<Status()>& writes) const {
  if (auto written = writes(); written || written.error().kind() == Exit::kNoTarget) {
    return written;
  }
  TC_TRY(tracee::SeizedThread worker, seize_worker(pid_, lock_));
  TC_TRY(const tracee::Stop stop, worker.interrupt());
  (void)stop;
  memory.poke_through(worker);
  auto written = writes();
  memory.stop_poking();
  (void)tracee::undo_our_eintr(worker);
  TC_CHECK(worker.detach());
  return written;
}

}  // namespace time_chaos::vdso
