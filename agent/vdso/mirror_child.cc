#include "agent/vdso/mirror_child.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

namespace time_chaos::vdso {
namespace {

constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;

// What stands at an address that was read from another process's memory map.
template <typename Pointer>
Pointer at(uint64_t address) {
  return reinterpret_cast<Pointer>(address);  // NOLINT(performance-no-int-to-ptr)
}

[[noreturn]] void leave(int status) {
  for (;;) ::syscall(SYS_exit_group, status);
}

// The work in the child. A step that fails ends it, with the reason in the report.
class Child {
 public:
  explicit Child(const MirrorJob& job) : job_(job), report_(*job.report) {}

  [[noreturn]] void run() {
    begin(MirrorStep::kPages);
    // Whatever becomes of the agent, nothing stays behind: no process, no core file.
    must(::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    for (const payload::PageRange& range : job_.shared) {
      must(::syscall(SYS_munmap, range.start, range.size));
    }
    for (const MirrorPiece& piece : job_.pieces) map(piece, MAP_FIXED_NOREPLACE);
    begin(MirrorStep::kVvar);
    move_vvar();
    begin(MirrorStep::kVdso);
    put_vdso();
    begin(MirrorStep::kSandbox);
    enter_sandbox();
    begin(MirrorStep::kCalls);
    for (int clock = 0; clock < TC_CLOCK_COUNT; clock++) {
      begin_call(clock);
      read_clock(clock, report_.mirror.clocks[static_cast<size_t>(clock)]);
    }
    begin_call(kCallGettimeofday);
    read_gettimeofday();
    begin_call(kCallTime);
    if (job_.time != 0) read_time();
    begin(MirrorStep::kDone);
    leave(0);
  }

 private:
  void begin(MirrorStep step) {
    __atomic_store_n(&report_.step, static_cast<int>(step), __ATOMIC_RELEASE);
  }
  void begin_call(int call) { __atomic_store_n(&report_.call, call, __ATOMIC_RELEASE); }

  void must(long result) {
    if (result != -1) return;
    report_.error = errno;
    leave(1);
  }

  void map(const MirrorPiece& piece, int flags) {
    must(::syscall(SYS_mmap, piece.address, piece.bytes.size(), PROT_READ | PROT_WRITE,
                   kAnonymous | flags, -1, 0));
    fill(piece);
  }

  void fill(const MirrorPiece& piece) {
    std::memcpy(at<void*>(piece.address), piece.bytes.data(), piece.bytes.size());
    must(::syscall(SYS_mprotect, piece.address, piece.bytes.size(), piece.protection));
  }

  // One by one, as the kernel has them as separate mappings.
  void move_vvar() {
    if (job_.vvar_place.size != 0) {
      must(::syscall(SYS_mmap, job_.vvar_place.start, job_.vvar_place.size, PROT_NONE,
                     kAnonymous | MAP_FIXED_NOREPLACE, -1, 0));
    }
    for (const MirrorMove& move : job_.vvar) {
      must(::syscall(SYS_mremap, move.from, move.size, move.size, MREMAP_MAYMOVE | MREMAP_FIXED,
                     move.to));
    }
  }

  // Plain memory does for a vDSO, as long as the vvar pages lie before it.
  void put_vdso() {
    const MirrorPiece& vdso = job_.vdso;
    if (!job_.vvar.empty()) return map(vdso, MAP_FIXED_NOREPLACE);
    const long mapped = ::syscall(SYS_mmap, vdso.address, vdso.bytes.size(), PROT_READ | PROT_WRITE,
                                  kAnonymous | MAP_FIXED, -1, 0);
    if (mapped != -1) return fill(vdso);
    // Sealed (CONFIG_MSEAL_SYSTEM_MAPPINGS): it cannot be replaced, but written as a debugger does.
    const long file = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/mem", O_RDWR | O_CLOEXEC);
    must(file);
    const long written =
        ::syscall(SYS_pwrite64, file, vdso.bytes.data(), vdso.bytes.size(), vdso.address);
    must(written);
    if (static_cast<size_t>(written) != vdso.bytes.size()) {
      errno = EIO;
      must(-1);
    }
  }

  void enter_sandbox() {
    must(::syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0));
    must(::syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_gettimeofday, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program = {sizeof filter / sizeof filter[0], filter};
    must(::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
  }

  // The host's own clock, by system call.
  static int read_host(int clock, clock::Reading& into) {
    timespec now{};
    if (::syscall(SYS_clock_gettime, clock, &now) != 0) return -errno;
    into = {now.tv_sec, now.tv_nsec};
    return 0;
  }

  void read_clock(int clock, MirrorReading& reading) {
    const auto clock_gettime = at<int (*)(clockid_t, timespec*)>(job_.clock_gettime);
    timespec shown{};
    reading.host_result = read_host(clock, reading.before);
    reading.result = clock_gettime(clock, &shown);
    read_host(clock, reading.after);
    reading.shown = {shown.tv_sec, shown.tv_nsec};
  }

  void read_gettimeofday() {
    const auto gettimeofday = at<int (*)(timeval*, struct timezone*)>(job_.gettimeofday);
    MirrorReading& reading = report_.mirror.gettimeofday;
    timeval shown{};
    struct timezone zone {};
    reading.host_result = read_host(CLOCK_REALTIME, reading.before);
    reading.result = gettimeofday(&shown, &zone);
    read_host(CLOCK_REALTIME, reading.after);
    reading.shown = {shown.tv_sec, shown.tv_usec * 1000};
    report_.mirror.tz_minuteswest = zone.tz_minuteswest;
    report_.mirror.tz_dsttime = zone.tz_dsttime;
  }

  // time() is the seconds of the coarse clock (lib/vdso/gettimeofday.c).
  void read_time() {
    const auto time = at<time_t (*)(time_t*)>(job_.time);
    MirrorReading& reading = report_.mirror.time;
    time_t stored = 0;
    reading.host_result = read_host(CLOCK_REALTIME_COARSE, reading.before);
    const time_t shown = time(&stored);
    read_host(CLOCK_REALTIME_COARSE, reading.after);
    reading.shown = {shown, 0};
    reading.result = stored == shown ? 0 : -EIO;
    report_.mirror.has_time = true;
  }

  const MirrorJob& job_;
  MirrorReport& report_;
};

}  // namespace

void run_mirror(const MirrorJob& job) {
  Child(job).run();
}

}  // namespace time_chaos::vdso
