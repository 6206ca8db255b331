#include "agent/vdso/mirror.h"

#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <type_traits>

#include "agent/clock/clock_set.h"
#include "agent/vdso/mirror_child.h"
#include "agent/vdso/mirror_layout.h"

namespace time_chaos::vdso {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// The mirror needs less than a millisecond; a busy machine more.
constexpr milliseconds kPatience{2000};
// Another thread of the agent may map something where the mirror was to go.
constexpr int kAttempts = 3;

struct Unmap {
  void operator()(MirrorReport* report) const { ::munmap(report, sizeof *report); }
};
using SharedReport = std::unique_ptr<MirrorReport, Unmap>;
static_assert(std::is_trivially_copyable_v<MirrorReport>);

Result<SharedReport> make_report() {
  void* memory = ::mmap(nullptr, sizeof(MirrorReport), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("map a page for the mirror");
  return SharedReport(static_cast<MirrorReport*>(memory));
}

// A signal that the agent handles must not be handled in the mirror. Faults kill it all the same.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;
  BlockedSignals(BlockedSignals&&) = delete;
  BlockedSignals& operator=(BlockedSignals&&) = delete;
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

// The child, killed and reaped when this goes.
class Process {
 public:
  static Result<Process> start(const MirrorJob& job) {
    const BlockedSignals blocked;
    int pidfd = -1;
    // No exit signal: the agent's own handling of SIGCHLD is not disturbed. clone(2), x86-64.
    const long child = ::syscall(SYS_clone, CLONE_PIDFD, nullptr, &pidfd, nullptr, 0UL);
    if (child == 0) run_mirror(job);
    if (child < 0) {
      return fail(Exit::kUnsupported,
                  fmt::format("cannot fork a mirror: {}", strerrordesc_np(errno)));
    }
    return Process(ScopedFd(pidfd));
  }
  Process(Process&&) = default;
  Process& operator=(Process&&) = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (!pidfd_.valid()) return;
    ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
    (void)reap();
  }

  // The signal that ended it; 0 when it ended by itself.
  Result<int> wait() {
    const auto deadline = steady_clock::now() + kPatience;
    for (;;) {
      const auto left =
          std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count();
      pollfd ended{pidfd_.get(), POLLIN, 0};
      const int ready = left <= 0 ? 0 : ::poll(&ended, 1, static_cast<int>(left));
      if (ready > 0) break;
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) return fail_errno("wait for the mirror");
      return fail(Exit::kFailed,
                  fmt::format("hangs (no end within {} s)", kPatience.count() / 1000));
    }
    const int signal = reap();
    pidfd_.reset();
    return signal;
  }

 private:
  explicit Process(ScopedFd pidfd) : pidfd_(std::move(pidfd)) {}

  // 0, too, if another part of the agent that waits for any child was quicker.
  int reap() {
    siginfo_t info{};
    const auto id = static_cast<id_t>(pidfd_.get());
    int result = 0;
    do {
      result = ::waitid(P_PIDFD, id, &info, WEXITED | __WALL);
    } while (result != 0 && errno == EINTR);
    if (result != 0) return 0;
    return info.si_code == CLD_EXITED ? 0 : info.si_status;
  }

  ScopedFd pidfd_;
};

std::string call_name(int call) {
  if (call == kCallGettimeofday) return "gettimeofday";
  if (call == kCallTime) return "time";
  return fmt::format("clock_gettime({})", clock::clock_name(call));
}

const char* step_name(int step) {
  switch (static_cast<MirrorStep>(step)) {
    case MirrorStep::kPages:
      return "map its pages";
    case MirrorStep::kVvar:
      return "move the vvar pages";
    case MirrorStep::kVdso:
      return "replace the vDSO";
    case MirrorStep::kSandbox:
      return "enter a seccomp sandbox";
    default:
      return "end";
  }
}

// A step of setting up that another attempt may get past.
bool in_the_way(const MirrorReport& report) {
  return report.step < static_cast<int>(MirrorStep::kSandbox) && report.error == EEXIST;
}

Result<Mirror> outcome(const MirrorReport& report, const Result<int>& ended) {
  const int step = __atomic_load_n(&report.step, __ATOMIC_ACQUIRE);
  if (step == static_cast<int>(MirrorStep::kDone)) return report.mirror;
  if (step < static_cast<int>(MirrorStep::kCalls)) {
    const char* why = report.error != 0 ? strerrordesc_np(report.error) : "it ended";
    return fail(Exit::kUnsupported, fmt::format("a mirror cannot {}: {}", step_name(step), why));
  }
  const std::string call = call_name(__atomic_load_n(&report.call, __ATOMIC_ACQUIRE));
  if (!ended) return fail(ended.error().because_of(fmt::format("a copy of its {}", call)));
  const char* signal = *ended != 0 ? sigabbrev_np(*ended) : nullptr;
  return fail(Exit::kFailed, signal != nullptr
                                 ? fmt::format("a copy of its {} crashes (SIG{})", call, signal)
                                 : fmt::format("a copy of its {} does not return", call));
}

Result<Mirror> run(const MirrorImage& image) {
  for (int attempt = 1;; attempt++) {
    TC_TRY(const SharedReport report, make_report());
    TC_TRY(const targets::Mappings own, targets::Mappings::read(::getpid()));
    TC_TRY(const MirrorJob job, lay_out(image, own, report.get()));
    TC_TRY(Process process, Process::start(job));
    const auto ended = process.wait();
    if (ended && in_the_way(*report) && attempt < kAttempts) continue;
    return outcome(*report, ended);
  }
}

}  // namespace

Result<Mirror> read_through_mirror(pid_t pid, const Found& found) {
  TC_TRY(const MirrorImage image, read_image(pid, &found));
  return run(image);
}

Result<Mirror> read_unshifted_mirror(pid_t pid) {
  TC_TRY(const MirrorImage image, read_image(pid, nullptr));
  return run(image);
}

}  // namespace time_chaos::vdso
