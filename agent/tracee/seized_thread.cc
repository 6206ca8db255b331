#include "agent/tracee/seized_thread.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>

#include "agent/base/files.h"
#include "agent/targets/permission.h"
#include "agent/targets/process.h"

namespace time_chaos::tracee {
namespace {

using std::chrono::steady_clock;

// glibc's enum has no place for requests as integers; one door for all of them.
long request(int what, pid_t tid, uint64_t address, uint64_t data) {
  errno = 0;
  return ::ptrace(static_cast<__ptrace_request>(what), tid, address, data);
}

Status checked(int what, pid_t tid, uint64_t address, uint64_t data, const char* name) {
  if (request(what, tid, address, data) == -1 && errno != 0) {
    return fail_errno(fmt::format("{} thread {}", name, tid));
  }
  return {};
}

Stop decode(const siginfo_t& info) {
  Stop stop;
  if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED) {
    stop.kind = Stop::Kind::kExited;
    stop.exit_status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
    return stop;
  }
  // For a traced thread si_status is task->exit_code: the signal, and the event above it.
  stop.signal = info.si_status & 0x7f;
  stop.event = (info.si_status >> 8) & 0xff;
  if (stop.event == PTRACE_EVENT_STOP) {
    stop.kind = stop.signal == SIGTRAP ? Stop::Kind::kInterrupt : Stop::Kind::kGroup;
  } else if (stop.event != 0) {
    stop.kind = Stop::Kind::kEvent;
  } else if (info.si_status == (SIGTRAP | 0x80)) {
    stop.kind = Stop::Kind::kSyscall;
  } else {
    stop.kind = Stop::Kind::kSignal;
  }
  return stop;
}

// On an overloaded machine a runnable thread may wait for a CPU for as long as this.
constexpr std::chrono::seconds kMostStarved{20};

bool wants_cpu(pid_t pid, pid_t tid) {
  const auto status = targets::read_thread_status(pid, tid);
  return status && status->state == 'R';
}

Error explain_refusal(pid_t pid, pid_t tid, int error_number) {
  const auto status = targets::read_thread_status(pid, tid);
  if (error_number == ESRCH || !status) {
    return Error(Exit::kNoTarget, fmt::format("thread {} is gone", tid));
  }
  // First: a thread that ended while traced, by us too, is a zombie with a tracer until its tracer
  // waits for it or ends.
  if (status->state == 'Z' || status->state == 'X') {
    return Error(Exit::kNoTarget, fmt::format("thread {} has ended", tid));
  }
  if (status->tracer == ::gettid()) {
    // By this session, which could not stop it: so it could not let it go either.
    return Error(Exit::kFailed, fmt::format("thread {} waits in the kernel, as in vfork", tid),
                 "try again");
  }
  if (status->tracer != 0) {
    const auto tracer = targets::read_status(status->tracer);
    return Error(Exit::kNotPermitted,
                 fmt::format("already traced by {} (pid {})", tracer ? tracer->name : "a process",
                             status->tracer),
                 "detach it and try again");
  }
  const auto yama = read_file("/proc/sys/kernel/yama/ptrace_scope");
  if (yama && *yama != "0\n") {
    return Error(Exit::kNotPermitted, "Yama (kernel.yama.ptrace_scope) forbids ptrace",
                 "run as root, or with CAP_SYS_PTRACE");
  }
  return Error(Exit::kNotPermitted, "the kernel refuses ptrace", targets::ptrace_remedy());
}

}  // namespace

Result<SeizedThread> SeizedThread::seize(pid_t pid, pid_t tid, uint64_t options) {
  if (request(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACESYSGOOD | options) == -1) {
    return fail(explain_refusal(pid, tid, errno));
  }
  return SeizedThread(pid, tid);
}

Result<std::optional<Stop>> SeizedThread::poll_stop() {
  siginfo_t info{};
  const int flags = WSTOPPED | WEXITED | WNOHANG | WNOWAIT | __WALL;
  while (::waitid(P_PID, static_cast<id_t>(tid_), &info, flags) != 0) {
    if (errno == EINTR) continue;
    if (errno == ECHILD) return Stop{};  // gone, and no longer ours to wait for
    return fail_errno(fmt::format("wait for thread {}", tid_));
  }
  if (info.si_pid == 0) return std::optional<Stop>();
  return decode(info);
}

Result<Stop> SeizedThread::wait_stop(std::chrono::milliseconds patience) {
  // A stop takes microseconds where the thread can stop at all: spin first, then sleep.
  const auto start = steady_clock::now();
  for (int round = 0;; round++) {
    TC_TRY(const auto stop, poll_stop());
    if (stop) return *stop;
    const auto waited = steady_clock::now() - start;
    if (waited > patience && !(wants_cpu(pid_, tid_) && waited < kMostStarved)) break;
    if (waited < std::chrono::microseconds(150)) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(round < 2000 ? 20 : 500));
    }
  }
  return fail(Exit::kFailed, fmt::format("thread {} cannot be stopped now", tid_),
              "it is in an uninterruptible sleep; try again later");
}

Result<Stop> SeizedThread::interrupt(std::chrono::milliseconds patience) {
  TC_CHECK(request_interrupt());
  for (;;) {
    TC_TRY(const Stop stop, wait_stop(patience));
    switch (stop.kind) {
      case Stop::Kind::kInterrupt:
      case Stop::Kind::kGroup:
        return stop;
      case Stop::Kind::kExited:
        return fail(Exit::kNoTarget, fmt::format("thread {} ended", tid_));
      case Stop::Kind::kSignal:
      default:
        // Any stop clears a pending interrupt (kernel/signal.c, ptrace_stop): ask anew.
        TC_CHECK(request_interrupt());
        TC_CHECK(resume(stop.kind == Stop::Kind::kSignal ? stop.signal : 0));
    }
  }
}

Status SeizedThread::resume(int signal) {
  return checked(PTRACE_CONT, tid_, 0, static_cast<uint64_t>(signal), "continue");
}
Status SeizedThread::resume_to_syscall(int signal) {
  return checked(PTRACE_SYSCALL, tid_, 0, static_cast<uint64_t>(signal), "continue");
}
Status SeizedThread::listen() {
  return checked(PTRACE_LISTEN, tid_, 0, 0, "listen to");
}
Status SeizedThread::go_on(const Stop& stop) {
  return stop.kind == Stop::Kind::kGroup ? listen() : resume();
}
Status SeizedThread::request_interrupt() {
  return checked(PTRACE_INTERRUPT, tid_, 0, 0, "interrupt");
}
Status SeizedThread::detach(int signal) {
  return checked(PTRACE_DETACH, tid_, 0, static_cast<uint64_t>(signal), "detach from");
}
Status SeizedThread::set_options(uint64_t options) {
  return checked(PTRACE_SETOPTIONS, tid_, 0, PTRACE_O_TRACESYSGOOD | options, "set options of");
}

Result<uint64_t> SeizedThread::event_message() const {
  unsigned long message = 0;
  if (request(PTRACE_GETEVENTMSG, tid_, 0, reinterpret_cast<uint64_t>(&message)) == -1) {
    return fail_errno(fmt::format("event of thread {}", tid_));
  }
  return message;
}

Result<Registers> SeizedThread::registers() const {
  Registers registers;
  if (request(PTRACE_GETREGS, tid_, 0, reinterpret_cast<uint64_t>(&registers.raw)) == -1) {
    return fail_errno(fmt::format("read the registers of thread {}", tid_));
  }
  return registers;
}

Status SeizedThread::set_registers(const Registers& registers) {
  return checked(PTRACE_SETREGS, tid_, 0, reinterpret_cast<uint64_t>(&registers.raw),
                 "set the registers of");
}

Result<uint64_t> SeizedThread::signal_mask() const {
  uint64_t mask = 0;
  if (request(PTRACE_GETSIGMASK, tid_, sizeof mask, reinterpret_cast<uint64_t>(&mask)) == -1) {
    return fail_errno(fmt::format("read the signal mask of thread {}", tid_));
  }
  return mask;
}

Status SeizedThread::drop_temporary_mask() {
  TC_TRY(const uint64_t mask, signal_mask());
  return checked(PTRACE_SETSIGMASK, tid_, sizeof mask, reinterpret_cast<uint64_t>(&mask),
                 "set the signal mask of");
}

Status SeizedThread::poke(uint64_t address, uint64_t word) {
  return checked(PTRACE_POKEDATA, tid_, address, word, "write to");
}

Result<uint64_t> SeizedThread::peek(uint64_t address) const {
  const long word = request(PTRACE_PEEKDATA, tid_, address, 0);
  if (word == -1 && errno != 0) return fail_errno(fmt::format("read from thread {}", tid_));
  return static_cast<uint64_t>(word);
}

void serve(const std::vector<SeizedThread>& running, std::chrono::microseconds time) {
  const auto end = steady_clock::now() + time;
  do {
    for (SeizedThread thread : running) {
      const auto stop = thread.poll_stop();
      if (!stop || !*stop || (*stop)->kind == Stop::Kind::kExited) continue;
      if ((*stop)->kind == Stop::Kind::kSignal) {
        (void)thread.resume((*stop)->signal);
      } else {
        (void)thread.go_on(**stop);
      }
    }
    std::this_thread::sleep_for(std::min(time, std::chrono::microseconds(100)));
  } while (steady_clock::now() < end);
}

bool signal_deliverable(pid_t pid, pid_t tid) {
  const auto status = targets::read_thread_status(pid, tid);
  if (!status) return true;
  return ((status->pending | status->shared_pending) & ~status->blocked) != 0;
}

}  // namespace time_chaos::tracee
