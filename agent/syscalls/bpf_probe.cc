#include "agent/syscalls/bpf_probe.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "agent/syscalls/bpf_processes.h"

namespace time_chaos::syscalls {
namespace {

struct Unmap {
  void operator()(RawReadings* readings) const { ::munmap(readings, sizeof *readings); }
};
using Shared = std::unique_ptr<RawReadings, Unmap>;

int read_clock(int clock, clock::Reading& into) {
  timespec now{};
  if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID) return -EINVAL;
  if (::syscall(SYS_clock_gettime, clock, &now) != 0) return -errno;
  into = {now.tv_sec, now.tv_nsec};
  return 0;
}

// In the child. The agent may have other threads: nothing but system calls here.
[[noreturn]] void read_as_target(int go, RawReadings& readings) {
  ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  char word = 0;
  while (::read(go, &word, 1) < 0 && errno == EINTR) {
  }
  for (int clock = 0; word != 0 && clock < TC_CLOCK_COUNT; clock++) {
    RawReading& reading = readings.clocks[static_cast<size_t>(clock)];
    reading.result = read_clock(clock, reading.shown);
  }
  timeval now{};
  readings.gettimeofday.result = ::syscall(SYS_gettimeofday, &now, nullptr) == 0 ? 0 : -errno;
  readings.gettimeofday.shown = {now.tv_sec, now.tv_usec * 1000};
  readings.time.shown = {::syscall(SYS_time, nullptr), 0};
  for (;;) ::syscall(SYS_exit_group, word == 0 ? 1 : 0);
}

// Of the calls' own clocks.
void read_host(RawReadings& readings, clock::Reading RawReading::*into) {
  for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
    RawReading& reading = readings.clocks[static_cast<size_t>(clock)];
    reading.host_result = read_clock(clock, reading.*into);
  }
  readings.gettimeofday.*into = readings.clocks[CLOCK_REALTIME].*into;
  readings.time.*into = readings.clocks[CLOCK_REALTIME_COARSE].*into;
}

class Child {
 public:
  Child(pid_t pid, ScopedFd go) : pid_(pid), go_(std::move(go)) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  Child(Child&&) = delete;
  Child& operator=(Child&&) = delete;
  ~Child() { (void)end(); }

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] Status let_go() const {
    const char word = 1;
    if (::write(go_.get(), &word, 1) != 1) return fail_errno("start the check's child");
    return {};
  }
  Status end() {
    if (pid_ == 0) return {};
    go_.reset();  // it ends at the end of the pipe, if it was not let go
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    return fail(Exit::kFailed, "the check's child did not end well", "try again");
  }

 private:
  pid_t pid_;
  ScopedFd go_;
};

// For the moment. The check's readings are not the target's, and not counted as such.
Status read_as_target(const BpfState& engine, uint32_t page, Child& child, RawReadings& readings) {
  TC_TRY(const KernelProcess process, kernel_process(child.pid()));
  const tc_bpf_target target{process.started_first, process.started_last, 0, 0, page,
                             TC_BPF_UNCOUNTED};
  TC_CHECK(engine.put(process.tgid, target));
  read_host(readings, &RawReading::before);
  Status read = child.let_go();
  if (const Status ended = child.end(); read && !ended) read = fail(ended.error());
  read_host(readings, &RawReading::after);
  TC_CHECK(engine.drop(process.tgid));
  return read;
}

}  // namespace

Result<RawReadings> read_through_bpf(const BpfState& engine, uint32_t page) {
  void* memory = ::mmap(nullptr, sizeof(RawReadings), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("map memory for the check");
  const Shared readings(new (memory) RawReadings());
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("make a pipe for the check");
  const ScopedFd wait(ends[0]);
  ScopedFd go(ends[1]);
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork the check's child");
  if (pid == 0) {
    go.reset();
    read_as_target(wait.get(), *readings);
  }
  Child child(pid, std::move(go));
  TC_CHECK(read_as_target(engine, page, child, *readings));
  return *readings;
}

}  // namespace time_chaos::syscalls
