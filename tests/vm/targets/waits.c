// Waits until an instant of a clock, in every way in which the kernel can be asked to, all at once,
// each in a thread of its own; and measures by a clock that nobody shifts how long that took.
//
// For each line "CLOCK MILLISECONDS" on standard input it prints one of "WAY=RESULT" parts: the
// nanoseconds that the wait took, or "!hangs" (after seconds), "!errno", "!changed" (the
// deadline in memory was not what it had been, during the wait or after it). Ways that this kernel
// does not have are left out.
//
// For "flight CLOCK MILLISECONDS" it says "flying" when all wait, then as above, and is more
// patient; without POSIX timers.
//
// For "share CLOCK ROUNDS" that many times threads begin at once to wait until one instant, which
// they share in memory; it prints "shared N early N changed N".
//
// The deadlines are in 64-bit fields, or with -m32 in 32-bit ones unless TIME64 is defined.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef TIME64
typedef int64_t field;
#define CALL(name) SYS_##name##_time64
#define GETTIME SYS_clock_gettime64
#define SETTIME(name) SYS_##name##64
#else
typedef long field;
#define CALL(name) SYS_##name
#define GETTIME SYS_clock_gettime
#define SETTIME(name) SYS_##name
#endif
#define FUTEX2_CALL (sizeof(field) == 8) /* these have 64-bit fields only */
#define SYS_WAITV 449
#define SYS_WAIT2 455
#define SECOND INT64_C(1000000000)

struct instant {
  field sec, nsec;
};
struct timer_setting {
  struct instant interval, value;
};

struct wait {
  const char* name;
  long (*call)(int clock, struct instant* until, struct timer_setting* setting);
  int only_realtime;
};

static int main_thread, in_flight;
static mqd_t empty_queue, full_queue;

static int64_t patience(void) {
  return (in_flight ? 60 : 6) * SECOND;
}

static int64_t raw_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

static struct instant later(int clock, long milliseconds) {
  struct instant at;
  if (syscall(GETTIME, clock, &at)) abort();
  int64_t nsec = at.nsec + milliseconds * INT64_C(1000000);
  at.sec += nsec / SECOND;
  at.nsec = nsec % SECOND;
  return at;
}

static long by_nanosleep(int clock, struct instant* until, struct timer_setting* unused) {
  (void)unused;
  return syscall(CALL(clock_nanosleep), clock, TIMER_ABSTIME, until, NULL) ? -errno : 0;
}

static long futex(int operation, int clock, uint32_t* word, uint32_t value, struct instant* until,
                  uint32_t* second) {
  int flags = 128 | (clock == CLOCK_REALTIME && operation != 6 ? 256 : 0);
  if (syscall(CALL(futex), word, operation | flags, value, until, second, -1) == 0) return -EPROTO;
  return errno == ETIMEDOUT ? 0 : -errno;
}

static long by_futex(int clock, struct instant* until, struct timer_setting* unused) {
  (void)unused;
  uint32_t word = 7;
  return futex(9, clock, &word, 7, until, NULL);
}

// Held by the main thread, which knows nothing of it.
static long by_lock_pi(int clock, struct instant* until, struct timer_setting* unused) {
  (void)unused;
  uint32_t word = main_thread;
  return futex(6, clock, &word, 0, until, NULL);
}

static long by_lock_pi2(int clock, struct instant* until, struct timer_setting* unused) {
  (void)unused;
  uint32_t word = main_thread;
  return futex(13, clock, &word, 0, until, NULL);
}

static long by_requeue_pi(int clock, struct instant* until, struct timer_setting* unused) {
  (void)unused;
  uint32_t word = 7, other = 0;
  return futex(11, clock, &word, 7, until, &other);
}

static long by_waitv(int clock, struct instant* until, struct timer_setting* unused) {
  (void)unused;
  uint32_t word = 7;
  struct {
    uint64_t value, address;
    uint32_t flags, reserved;
  } waiter = {7, (uintptr_t)&word, 2 | 128, 0};
  if (!FUTEX2_CALL) return -ENOSYS;
  if (syscall(SYS_WAITV, &waiter, 1, 0, until, clock) >= 0) return -EPROTO;
  return errno == ETIMEDOUT ? 0 : -errno;
}

static long by_wait2(int clock, struct instant* until, struct timer_setting* unused) {
  (void)unused;
  uint32_t word = 7;
  if (!FUTEX2_CALL) return -ENOSYS;
  if (syscall(SYS_WAIT2, &word, 7L, 0xffffffffL, 2L | 128, until, (long)clock) == 0) return -EPROTO;
  return errno == ETIMEDOUT ? 0 : -errno;
}

static long by_timerfd(int clock, struct instant* until, struct timer_setting* setting) {
  uint64_t times;
  int fd = syscall(SYS_timerfd_create, clock, 0);
  setting->value = *until;
  if (fd < 0 || syscall(SETTIME(timerfd_settime), fd, 1, setting, NULL)) return -errno;
  long result = read(fd, &times, sizeof times) == sizeof times ? 0 : -errno;
  close(fd);
  return memcmp(&setting->value, until, sizeof *until) ? -EBADMSG : result;
}

static long by_timer(int clock, struct instant* until, struct timer_setting* setting) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
  int timer;
  sigset_t set;
  event._sigev_un._tid = syscall(SYS_gettid);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  if (syscall(SYS_timer_create, clock, &event, &timer)) return -errno;
  setting->value = *until;
  if (syscall(SETTIME(timer_settime), timer, TIMER_ABSTIME, setting, NULL)) return -errno;
  long result = sigwaitinfo(&set, NULL) == SIGUSR2 ? 0 : -errno;
  syscall(SYS_timer_delete, timer);
  return memcmp(&setting->value, until, sizeof *until) ? -EBADMSG : result;
}

static long by_receive(int clock, struct instant* until, struct timer_setting* unused) {
  char message[8];
  (void)clock, (void)unused;
  if (syscall(CALL(mq_timedreceive), empty_queue, message, sizeof message, NULL, until) >= 0)
    return -EPROTO;
  return errno == ETIMEDOUT ? 0 : -errno;
}

static long by_send(int clock, struct instant* until, struct timer_setting* unused) {
  (void)clock, (void)unused;
  if (syscall(CALL(mq_timedsend), full_queue, "x", 1, 0, until) >= 0) return -EPROTO;
  return errno == ETIMEDOUT ? 0 : -errno;
}

static const struct wait waits[] = {
    {"clock_nanosleep", by_nanosleep, 0},
    {"futex", by_futex, 0},
    {"lock_pi", by_lock_pi, 1},
    {"lock_pi2", by_lock_pi2, 0},
    {"requeue_pi", by_requeue_pi, 0},
    {"futex_waitv", by_waitv, 0},
    {"futex_wait", by_wait2, 0},
    {"timerfd", by_timerfd, 0},
    {"timer", by_timer, 0},
    {"mq_receive", by_receive, 1},
    {"mq_send", by_send, 1},
    // Threads that share one deadline in memory.
    {"shared0", by_nanosleep, 0},
    {"shared1", by_nanosleep, 0},
    {"shared2", by_futex, 0},
    {"shared3", by_futex, 0},
    {"shared4", by_nanosleep, 0},
    {"shared5", by_futex, 0},
};
enum { kWaits = sizeof waits / sizeof waits[0], kFirstShared = kWaits - 6 };

struct run {
  const struct wait* wait;
  int clock;
  struct instant *until, callers;
  struct timer_setting setting;
  pthread_barrier_t* start;
  int64_t ended;
  long result;
  int during, done;
};

// Changed for longer than the moment that the kernel takes to read it.
static int changed_during(const struct run* run) {
  const struct timespec pause = {0, 500000};
  for (int i = 0; i < 12; ++i) {
    if (!memcmp(run->until, &run->callers, sizeof run->callers) &&
        (!run->setting.value.sec ||
         !memcmp(&run->setting.value, &run->callers, sizeof run->callers)))
      return 0;
    nanosleep(&pause, NULL);
  }
  return 1;
}

static void* wait_once(void* argument) {
  struct run* run = argument;
  pthread_barrier_wait(run->start);
  bool timer = run->wait->call == by_timer;
  run->result =
      in_flight && timer ? -ENOSYS : run->wait->call(run->clock, run->until, &run->setting);
  run->ended = raw_now();
  // Another thread that shares it may be about to begin anew.
  if (changed_during(run)) run->result = -EBADMSG;
  __atomic_store_n(&run->done, 1, __ATOMIC_RELEASE);
  return NULL;
}

static void print(const struct run* run, int64_t began) {
  if (run->result == -ENOSYS || (run->wait->only_realtime && run->clock != CLOCK_REALTIME)) return;
  printf(" %s=", run->wait->name);
  if (!run->done) {
    printf("!hangs");
  } else if (run->during || run->result == -EBADMSG) {
    printf("!changed");
  } else if (run->result) {
    printf("!%s", strerrorname_np(-run->result));
  } else {
    printf("%lld", (long long)(run->ended - began));
  }
}

static void run_all(int clock, long milliseconds) {
  static struct run runs[kWaits];
  static struct instant untils[kWaits];
  pthread_t threads[kWaits];
  pthread_barrier_t start;
  pthread_attr_t small;
  const struct timespec pause = {0, 5000000};
  memset(runs, 0, sizeof runs);
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  pthread_barrier_init(&start, NULL, kWaits + 1);
  for (int i = 0; i < kWaits; ++i) {
    int at = i < kFirstShared ? i : kFirstShared;
    if (waits[i].only_realtime && clock != CLOCK_REALTIME) at = i;
    runs[i] =
        (struct run){.wait = &waits[i], .clock = clock, .until = &untils[at], .start = &start};
  }
  for (int i = 0; i < kWaits; ++i)
    if (pthread_create(&threads[i], &small, wait_once, &runs[i])) abort();
  int64_t began = raw_now();
  struct instant until = later(clock, milliseconds), wall = later(CLOCK_REALTIME, milliseconds);
  for (int i = 0; i < kWaits; ++i) {
    runs[i].callers = waits[i].only_realtime ? wall : until;
    *runs[i].until = runs[i].callers;
  }
  pthread_barrier_wait(&start);
  for (int i = 0; i < 10; ++i) nanosleep(&pause, NULL);
  for (int i = 0; i < kWaits; ++i) runs[i].during = changed_during(&runs[i]);
  if (in_flight) puts("flying");
  fflush(stdout);
  for (int i = 0; i < kWaits; ++i)
    while (!__atomic_load_n(&runs[i].done, __ATOMIC_ACQUIRE) && raw_now() - began < patience())
      nanosleep(&pause, NULL);
  printf("waited");
  for (int i = 0; i < kWaits; ++i) print(&runs[i], began);
  puts("");
  fflush(stdout);
  for (int i = 0; i < kWaits; ++i) {
    if (!runs[i].done) _exit(4);
    pthread_join(threads[i], NULL);
  }
}

enum { kSharers = 16 };
static struct instant shared_until;
static pthread_barrier_t shared_start, shared_end;
static long shared_clock, shared_rounds, shared_early;

static void* share(void* argument) {
  for (long i = 0; i < shared_rounds; ++i) {
    pthread_barrier_wait(&shared_start);
    (argument ? by_nanosleep : by_futex)(shared_clock, &shared_until, NULL);
    struct instant now = later(shared_clock, 0);
    if (now.sec < shared_until.sec || (now.sec == shared_until.sec && now.nsec < shared_until.nsec))
      __atomic_fetch_add(&shared_early, 1, __ATOMIC_RELAXED);
    pthread_barrier_wait(&shared_end);
  }
  return NULL;
}

static void run_shared(long clock, long rounds) {
  pthread_t threads[kSharers];
  long changed = 0;
  shared_clock = clock, shared_rounds = rounds, shared_early = 0;
  pthread_barrier_init(&shared_start, NULL, kSharers + 1);
  pthread_barrier_init(&shared_end, NULL, kSharers + 1);
  for (long i = 0; i < kSharers; ++i)
    if (pthread_create(&threads[i], NULL, share, (void*)(i % 2))) abort();
  for (long i = 0; i < rounds; ++i) {
    struct instant until = later(clock, 4);
    shared_until = until;
    pthread_barrier_wait(&shared_start);
    pthread_barrier_wait(&shared_end);
    changed += memcmp(&shared_until, &until, sizeof until) != 0;
  }
  for (long i = 0; i < kSharers; ++i) pthread_join(threads[i], NULL);
  printf("shared %ld early %ld changed %ld\n", rounds, shared_early, changed);
  fflush(stdout);
}

int main(void) {
  char line[64];
  sigset_t set;
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, NULL);
  main_thread = syscall(SYS_gettid);
  empty_queue = mq_open("/empty", O_RDWR | O_CREAT, 0600, &attributes);
  full_queue = mq_open("/full", O_RDWR | O_CREAT, 0600, &attributes);
  if (empty_queue == (mqd_t)-1 || full_queue == (mqd_t)-1 || mq_send(full_queue, "x", 1, 0))
    return 3;
  mq_unlink("/empty");
  mq_unlink("/full");
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    char* rest;
    if (!strncmp(line, "share ", 6)) {
      long which = strtol(line + 6, &rest, 10);
      run_shared(which, strtol(rest, NULL, 10));
      continue;
    }
    in_flight = !strncmp(line, "flight ", 7);
    int clock = strtol(line + (in_flight ? 7 : 0), &rest, 10);
    run_all(clock, strtol(rest, NULL, 10));
  }
  return 0;
}
