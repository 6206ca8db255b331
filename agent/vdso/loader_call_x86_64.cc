// x86-64: the system calls that loading a library takes, with arguments as a loader has them.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "agent/vdso/loader_call.h"

namespace time_chaos::vdso {

std::vector<tracee::PlannedCall> calls_of_loading() {
  constexpr uint64_t kFile = 9;
  constexpr uint64_t kPage = payload::kPageSize;
  constexpr uint64_t kAny = ~uint64_t{0};
  constexpr uint64_t kPrivate = MAP_PRIVATE | MAP_DENYWRITE;
  const auto here = static_cast<uint64_t>(AT_FDCWD);
  const auto call = [](const char* name, int64_t number, std::array<uint64_t, 6> arguments) {
    return tracee::PlannedCall{number, arguments, 0, name};
  };
  return {
      call("rt_sigprocmask", SYS_rt_sigprocmask, {SIG_SETMASK, 0, 0, 8}),
      call("rt_sigpending", SYS_rt_sigpending, {0, 8}),
      call("sched_yield", SYS_sched_yield, {}),
      call("memfd_create", SYS_memfd_create, {0, MFD_CLOEXEC}),
      call("memfd_create", SYS_memfd_create, {0, MFD_CLOEXEC | 8}),
      call("write", SYS_write, {kFile, 0, kPage}),
      call("madvise", SYS_madvise, {0, kPage, MADV_DONTNEED}),
      call("open", SYS_open, {0, O_RDONLY | O_CLOEXEC}),
      call("openat", SYS_openat, {here, 0, O_RDONLY | O_CLOEXEC}),
      call("fcntl", SYS_fcntl, {kFile, F_SETFD, FD_CLOEXEC}),
      call("read", SYS_read, {kFile, 0, 832}),
      call("pread64", SYS_pread64, {kFile, 0, 832, 64}),
      call("fstat", SYS_fstat, {kFile, 0}),
      call("newfstatat", SYS_newfstatat, {kFile, 0, 0, AT_EMPTY_PATH}),
      call("mmap", SYS_mmap, {0, kPage, PROT_READ, kPrivate, kFile, 0}),
      call("mmap", SYS_mmap, {0, kPage, PROT_READ | PROT_EXEC, kPrivate, kFile, 0}),
      call("mmap", SYS_mmap, {0, kPage, PROT_READ | PROT_EXEC, kPrivate | MAP_FIXED, kFile, kPage}),
      call("mmap", SYS_mmap,
           {0, kPage, PROT_READ | PROT_WRITE, kPrivate | MAP_FIXED, kFile, kPage}),
      call("mmap", SYS_mmap,
           {0, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, kAny, 0}),
      call("mmap", SYS_mmap,
           {0, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, kAny, 0}),
      call("mmap", SYS_mmap,
           {0, kPage, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, kAny, 0}),
      call("mprotect", SYS_mprotect, {0, kPage, PROT_NONE}),
      call("mprotect", SYS_mprotect, {0, kPage, PROT_READ}),
      call("mprotect", SYS_mprotect, {0, kPage, PROT_READ | PROT_WRITE}),
      call("munmap", SYS_munmap, {0, kPage}),
      call("brk", SYS_brk, {}),
      call("futex", SYS_futex, {}),
      call("close", SYS_close, {kFile}),
  };
}

}  // namespace time_chaos::vdso
