// Waits for a length of time, in every way in which the kernel can be asked to in memory, all at
// once, each in a thread of its own; and measures by a clock that nobody shifts how long that took.
//
// For each line "MILLISECONDS" on standard input it prints "waited" and "WAY=RESULT" parts: the
// nanoseconds that the wait took, or "!hangs" (longer than PATIENCE), "!errno", "!changed" (the
// length in memory was not what it had been). Ways that this kernel does not have are left out.
//
// For "constant MILLISECONDS" it waits for a length that stands in read-only memory: "took N".
// For "crossing MILLISECONDS" for one that begins in memory that can be written and ends in memory
// that cannot; for "refused MILLISECONDS" in a call that fails when it has read the length.
//
// The lengths are in 64-bit fields, or with -m32 in 32-bit ones.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define SECOND INT64_C(1000000000)
#define PATIENCE (6 * SECOND)
#define SYS_WAIT_EVENTS2 441 /* epoll_pwait2 */

struct length {
  long sec, nsec;
};
struct setting {
  struct length interval, value;
};

static int quiet[2], epoll_fd, semaphores;
static unsigned long events;

static int64_t raw_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

static long ended(long result, int expected) {
  return (result == 0 || (result < 0 && errno == expected)) ? 0 : result < 0 ? -errno : -EPROTO;
}

static long by_nanosleep(struct length* length, struct setting* unused) {
  (void)unused;
  return ended(syscall(SYS_nanosleep, length, NULL), 0);
}
static long by_monotonic(struct length* length, struct setting* unused) {
  (void)unused;
  return ended(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, length, NULL), 0);
}
static long by_realtime(struct length* length, struct setting* unused) {
  (void)unused;
  return ended(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, length, NULL), 0);
}
static long by_futex(struct length* length, struct setting* unused) {
  (void)unused;
  uint32_t word = 7;
  return ended(syscall(SYS_futex, &word, 0, 7, length, NULL, 0), ETIMEDOUT);
}
// These write down what is left.
static long by_ppoll(struct length* length, struct setting* unused) {
  (void)unused;
  struct length copy = *length;
  return ended(syscall(SYS_ppoll, NULL, 0, &copy, NULL, 8), 0);
}
static long by_pselect(struct length* length, struct setting* unused) {
  (void)unused;
  struct length copy = *length;
  return ended(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &copy, NULL), 0);
}
static long by_epoll(struct length* length, struct setting* unused) {
  (void)unused;
  char event[16];
  int64_t wide[2] = {length->sec, length->nsec};
  return ended(syscall(SYS_WAIT_EVENTS2, epoll_fd, event, 1, wide, NULL, 8), 0);
}
static long by_signal(struct length* length, struct setting* unused) {
  (void)unused;
  uint64_t set = UINT64_C(1) << (SIGUSR1 - 1);
  return ended(syscall(SYS_rt_sigtimedwait, &set, NULL, length, 8), EAGAIN);
}
static long by_semaphore(struct length* length, struct setting* unused) {
  (void)unused;
  struct sembuf down = {0, -1, 0};
#ifdef SYS_semtimedop
  return ended(syscall(SYS_semtimedop, semaphores, &down, 1, length), EAGAIN);
#else
  return ended(syscall(SYS_ipc, 4, semaphores, 1, 0, &down, length), EAGAIN);
#endif
}
// In 5.10 and 5.15 semtimedop counts ticks (schedule_timeout in ipc/sem.c; hrtimers in 6.1): from
// the last one on, which an emulated processor may have seen long ago. The coarse clock is of that
// tick. The wall clock, because that one is real here.
static int counts_ticks;
static int64_t since_tick(void) {
  struct timespec now, tick;
  clock_gettime(CLOCK_REALTIME_COARSE, &tick);
  clock_gettime(CLOCK_REALTIME, &now);
  return (now.tv_sec - tick.tv_sec) * SECOND + now.tv_nsec - tick.tv_nsec;
}
static long by_events(struct length* length, struct setting* unused) {
  (void)unused;
  char event[32];
  return ended(syscall(SYS_io_getevents, events, 1, 1, event, length), 0);
}
// Twice: at the beginning, and once more at the interval.
static long by_timerfd(struct length* length, struct setting* setting) {
  uint64_t times;
  int fd = syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
  long result = 0;
  setting->value = setting->interval = *length;
  if (fd < 0 || syscall(SYS_timerfd_settime, fd, 0, setting, NULL)) return -errno;
  for (uint64_t i = 0; i < 2 && !result; i += times)
    if (read(fd, &times, sizeof times) != sizeof times) result = -errno;
  close(fd);
  return result;
}
static long by_timer(struct length* length, struct setting* setting) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
  int timer;
  sigset_t set;
  event._sigev_un._tid = syscall(SYS_gettid);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  if (syscall(SYS_timer_create, CLOCK_REALTIME, &event, &timer)) return -errno;
  setting->value = *length;
  if (syscall(SYS_timer_settime, timer, 0, setting, NULL)) return -errno;
  long result = sigwaitinfo(&set, NULL) == SIGUSR2 ? 0 : -errno;
  syscall(SYS_timer_delete, timer);
  return result;
}

static const struct {
  const char* name;
  long (*call)(struct length* length, struct setting* setting);
} ways[] = {
    {"nanosleep", by_nanosleep}, {"monotonic", by_monotonic},   {"realtime", by_realtime},
    {"futex", by_futex},         {"ppoll", by_ppoll},           {"pselect", by_pselect},
    {"epoll", by_epoll},         {"signal", by_signal},         {"semaphore", by_semaphore},
    {"events", by_events},       {"timerfd_twice", by_timerfd}, {"timer", by_timer},
};
enum { kWays = sizeof ways / sizeof ways[0] };

struct run {
  int way, done;
  struct length length, callers;
  struct setting setting;
  pthread_barrier_t* start;
  int64_t took;
  long result;
};

static void* wait_once(void* argument) {
  struct run* run = argument;
  if (run->start) pthread_barrier_wait(run->start);
  int64_t began = raw_now();
  if (counts_ticks && ways[run->way].call == by_semaphore) began -= since_tick();
  run->result = ways[run->way].call(&run->length, &run->setting);
  run->took = raw_now() - began;
  const struct length* value = &run->setting.value;
  if (memcmp(&run->length, &run->callers, sizeof run->callers) ||
      ((value->sec || value->nsec) && memcmp(value, &run->callers, sizeof *value)))
    run->result = -EBADMSG;
  __atomic_store_n(&run->done, 1, __ATOMIC_RELEASE);
  return NULL;
}

static struct length length_of(long milliseconds) {
  return (struct length){milliseconds / 1000, milliseconds % 1000 * 1000000};
}

static void begin(struct run* run, int way, long milliseconds, pthread_barrier_t* start,
                  pthread_t* thread) {
  *run = (struct run){.way = way, .start = start};
  run->length = run->callers = length_of(milliseconds);
  if (pthread_create(thread, NULL, wait_once, run)) abort();
}

static void run_all(long milliseconds) {
  static struct run runs[kWays];
  pthread_t threads[kWays];
  pthread_barrier_t start;
  const struct timespec pause = {0, 5000000};
  pthread_barrier_init(&start, NULL, kWays + 1);
  for (int i = 0; i < kWays; ++i) begin(&runs[i], i, milliseconds, &start, &threads[i]);
  pthread_barrier_wait(&start);
  int64_t began = raw_now();
  for (int i = 0; i < kWays; ++i)
    while (!__atomic_load_n(&runs[i].done, __ATOMIC_ACQUIRE) && raw_now() - began < PATIENCE)
      nanosleep(&pause, NULL);
  printf("waited");
  for (int i = 0; i < kWays; ++i) {
    if (runs[i].result == -ENOSYS) continue;
    printf(" %s=", ways[i].name);
    if (!runs[i].done)
      printf("!hangs");
    else if (runs[i].result == -EBADMSG)
      printf("!changed");
    else if (runs[i].result)
      printf("!%s", strerrorname_np(-runs[i].result));
    else
      printf("%lld", (long long)runs[i].took);
  }
  puts("");
  fflush(stdout);
  for (int i = 0; i < kWays; ++i) {
    if (!runs[i].done) _exit(4);
    pthread_join(threads[i], NULL);
  }
}

static void wait_constant(long milliseconds) {
  struct length* constant =
      mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *constant = length_of(milliseconds);
  mprotect(constant, 4096, PROT_READ);
  int64_t began = raw_now();
  long result = by_nanosleep(constant, NULL);
  printf("took %lld\n", result ? (long long)result : (long long)(raw_now() - began));
  munmap(constant, 4096);
}

static void report(const struct length* length, long milliseconds, long result, int64_t took) {
  const struct length callers = length_of(milliseconds);
  if (memcmp(length, &callers, sizeof callers)) result = -EBADMSG;
  printf("took %lld\n", result ? (long long)result : (long long)took);
}

static void wait_crossing(long milliseconds) {
  char* pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  struct length* length = (struct length*)(pages + 4096 - sizeof length->sec);
  *length = length_of(milliseconds);
  mprotect(pages + 4096, 4096, PROT_READ);
  int64_t began = raw_now();
  long result = by_nanosleep(length, NULL);
  report(length, milliseconds, result, raw_now() - began);
  munmap(pages, 8192);
}

static void wait_refused(long milliseconds) {
  struct length length = length_of(milliseconds);
  uint64_t mask = 0;
  long result = syscall(SYS_ppoll, NULL, 0, &length, &mask, 7);
  report(&length, milliseconds, result == -1 && errno == EINVAL ? 0 : -EPROTO, 0);
}

int main(void) {
  char line[64];
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  struct utsname kernel;
  counts_ticks = uname(&kernel) == 0 && strtol(kernel.release, NULL, 10) < 6;
  if (pipe(quiet)) return 3;
  epoll_fd = syscall(SYS_epoll_create1, 0);
  semaphores = semget(IPC_PRIVATE, 1, 0600);
  if (epoll_fd < 0 || semaphores < 0 || syscall(SYS_io_setup, 4, &events)) return 3;
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    if (!strncmp(line, "constant ", 9)) {
      wait_constant(strtol(line + 9, NULL, 10));
    } else if (!strncmp(line, "crossing ", 9)) {
      wait_crossing(strtol(line + 9, NULL, 10));
    } else if (!strncmp(line, "refused ", 8)) {
      wait_refused(strtol(line + 8, NULL, 10));
    } else {
      run_all(strtol(line, NULL, 10));
    }
    fflush(stdout);
  }
  semctl(semaphores, 0, IPC_RMID);
  return 0;
}
