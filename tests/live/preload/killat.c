// An LD_PRELOAD library that kills the program it is loaded into, with SIGKILL, at one exact step:
// just before or just after its N-th call of ptrace, pwrite, process_vm_writev, waitid, waitpid or
// wait4. So the real binary dies at every point at which it may have left a target half changed.
//
//   KILL_COUNT_FILE  a file of sizeof(struct kill_counts) bytes, into which steps are counted
//   KILL_AT          N, from 1; absent or 0: only count
//   KILL_WHEN        before (default) or after
//   KILL_SIGNAL      stop: SIGSTOP instead, once
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kill_counts.h"

static struct kill_counts own_counts;
static struct kill_counts* counts = &own_counts;
static uint64_t kill_at;
static int kill_after;
static int only_stop;

__attribute__((constructor)) static void set_up(void) {
  const char* path = getenv("KILL_COUNT_FILE");
  const char* at = getenv("KILL_AT");
  const char* when = getenv("KILL_WHEN");
  if (at != NULL) kill_at = strtoull(at, NULL, 10);
  const char* how = getenv("KILL_SIGNAL");
  only_stop = how != NULL && strcmp(how, "stop") == 0;
  kill_after = when != NULL && strcmp(when, "after") == 0;
  int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* p = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p != MAP_FAILED) counts = p;
  close(fd);
}

static void die(void) {
  if (only_stop) {
    syscall(SYS_kill, getpid(), SIGSTOP);
    return;
  }
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

// Counts one step; returns its number.
static uint64_t step(uint64_t* kind) {
  __atomic_fetch_add(kind, 1, __ATOMIC_RELAXED);
  uint64_t number = __atomic_add_fetch(&counts->steps, 1, __ATOMIC_SEQ_CST);
  if (number == kill_at && !kill_after) die();
  return number;
}

static void after_step(uint64_t number) {
  if (number == kill_at && kill_after) die();
}

// The next definition of `name`; looked up every time, which costs little here.
static void* next(const char* name) {
  return dlsym(RTLD_NEXT, name);
}

// POSIX lets void* hold a function; ISO C wants it copied.
#define CALL_NEXT(result, name, type, ...) \
  type real_;                              \
  void* found_ = next(name);               \
  memcpy(&real_, &found_, sizeof real_);   \
  uint64_t number_ = step(kind_);          \
  result = real_(__VA_ARGS__);             \
  int saved_ = errno;                      \
  after_step(number_);                     \
  errno = saved_

typedef long (*ptrace_fn)(int, pid_t, void*, void*);
typedef ssize_t (*pwrite_fn)(int, const void*, size_t, off64_t);
typedef ssize_t (*writev_fn)(pid_t, const struct iovec*, unsigned long, const struct iovec*,
                             unsigned long, unsigned long);
typedef int (*waitid_fn)(idtype_t, id_t, siginfo_t*, int);
typedef pid_t (*waitpid_fn)(pid_t, int*, int);
typedef pid_t (*wait4_fn)(pid_t, int*, int, struct rusage*);

long ptrace(enum __ptrace_request request, ...) {
  va_list list;
  va_start(list, request);
  pid_t pid = va_arg(list, pid_t);
  void* address = va_arg(list, void*);
  void* data = va_arg(list, void*);
  va_end(list);
  uint64_t* kind_ = &counts->ptraces;
  long result;
  CALL_NEXT(result, "ptrace", ptrace_fn, (int)request, pid, address, data);
  return result;
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  uint64_t* kind_ = &counts->memory_writes;
  ssize_t result;
  CALL_NEXT(result, "pwrite", pwrite_fn, fd, data, size, offset);
  return result;
}

ssize_t pwrite64(int fd, const void* data, size_t size, off64_t offset) {
  uint64_t* kind_ = &counts->memory_writes;
  ssize_t result;
  CALL_NEXT(result, "pwrite64", pwrite_fn, fd, data, size, offset);
  return result;
}

ssize_t process_vm_writev(pid_t pid, const struct iovec* local, unsigned long local_count,
                          const struct iovec* remote, unsigned long remote_count,
                          unsigned long flags) {
  uint64_t* kind_ = &counts->memory_writes;
  ssize_t result;
  CALL_NEXT(result, "process_vm_writev", writev_fn, pid, local, local_count, remote, remote_count,
            flags);
  return result;
}

int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  uint64_t* kind_ = &counts->waits;
  int result;
  CALL_NEXT(result, "waitid", waitid_fn, type, id, info, options);
  return result;
}

pid_t waitpid(pid_t pid, int* status, int options) {
  uint64_t* kind_ = &counts->waits;
  pid_t result;
  CALL_NEXT(result, "waitpid", waitpid_fn, pid, status, options);
  return result;
}

pid_t wait4(pid_t pid, int* status, int options, struct rusage* usage) {
  uint64_t* kind_ = &counts->waits;
  pid_t result;
  CALL_NEXT(result, "wait4", wait4_fn, pid, status, options, usage);
  return result;
}
