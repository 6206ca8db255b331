// Asks what is left of waits and timers, in every way in which the kernel tells that, all at once,
// each in a thread of its own; and measures by a clock that nobody shifts how much had passed.
//
// For each line "MILLISECONDS REAL" on standard input it begins them, of that length, interrupts
// them after REAL ms of real time, and prints "left" and "WAY=LEFT,LEAST,MOST,INTERVAL" parts: what
// was left; at least and at most, what had passed in real time; and the timer's interval; all in
// nanoseconds; or "WAY=!errno". For "stopped MILLISECONDS REAL" the whole process is stopped for a
// while before it is interrupted, so that the kernel goes on with waits; then there are two that
// nobody interrupts, "WAY=took,NANOSECONDS". It ends itself where something hangs.
//
// For "many MILLISECONDS ROUNDS" many threads set a timer of that length each and ask again and
// again what is left, all at once: it prints "asked N", how many were told less than a quarter,
// "less N", and how many more than all of it, "more N".
//
// The lengths are in 64-bit fields, or with -m32 in 32-bit ones unless TIME64 is defined.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef TIME64
typedef int64_t field;
#define CALL(name) SYS_##name##_time64
#define GETTIME(name) SYS_##name##64
#define HAS_NANOSLEEP 0  // with 32-bit fields only
#else
typedef long field;
#define CALL(name) SYS_##name
#define GETTIME(name) SYS_##name
#define HAS_NANOSLEEP 1
#endif
#define SETTIME(name) GETTIME(name)
#define SECOND INT64_C(1000000000)
#define PATIENCE (20 * SECOND) /* real */
#define INTERVAL INT64_C(7000000000)

struct length {
  field sec, nsec;
};
struct setting {
  struct length interval, value;
};

// What a thread has to do and to say.
struct run {
  int way, done, tid;
  int64_t milliseconds;
  pthread_barrier_t* start;
  int64_t began[2], asked[2];  // raw readings, before and after
  struct setting left;
  long result;
};

static int64_t interrupt_at;

static int64_t raw_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_RAW, &now);
  return now.tv_sec * SECOND + now.tv_nsec;
}

static void wait_until(int64_t raw) {
  const struct timespec pause = {0, 2000000};
  while (raw_now() < raw) nanosleep(&pause, NULL);
}

static struct length length_of(int64_t nanoseconds) {
  return (struct length){nanoseconds / SECOND, nanoseconds % SECOND};
}
static int64_t nanoseconds(struct length length) {
  return length.sec * SECOND + length.nsec;
}
static struct length asked_length(const struct run* run) {
  return length_of(run->milliseconds * 1000000);
}

// The wait itself is begun between `began[0]` and nobody knows when.
static void begin(struct run* run) {
  run->began[0] = raw_now();
  run->began[1] = INT64_MAX;
}
static long interrupted(struct run* run, long result) {
  run->asked[0] = INT64_MIN;
  run->asked[1] = raw_now();
  return result == -1 && errno == EINTR ? 0 : result == -1 ? -errno : -EPROTO;
}

static long sleep_on(struct run* run, int clock) {
  struct length length = asked_length(run);
  begin(run);
  return interrupted(run, syscall(CALL(clock_nanosleep), clock, 0, &length, &run->left.value));
}
static long by_monotonic(struct run* run) {
  return sleep_on(run, CLOCK_MONOTONIC);
}
static long by_realtime(struct run* run) {
  return sleep_on(run, CLOCK_REALTIME);
}
static long by_nanosleep(struct run* run) {
#if HAS_NANOSLEEP
  struct length length = asked_length(run);
  begin(run);
  return interrupted(run, syscall(SYS_nanosleep, &length, &run->left.value));
#else
  (void)run;
  return -ENOSYS;
#endif
}
// One place for what is asked and for what is left.
static long by_in_place(struct run* run) {
  run->left.value = asked_length(run);
  begin(run);
  return interrupted(
      run, syscall(CALL(clock_nanosleep), CLOCK_MONOTONIC, 0, &run->left.value, &run->left.value));
}
static long by_ppoll(struct run* run) {
  run->left.value = asked_length(run);
  begin(run);
  return interrupted(run, syscall(CALL(ppoll), NULL, 0, &run->left.value, NULL, 8));
}
static long by_pselect(struct run* run) {
  run->left.value = asked_length(run);
  begin(run);
  return interrupted(run, syscall(CALL(pselect6), 0, NULL, NULL, NULL, &run->left.value, NULL));
}
// It looks at the clock when a message has come.
static long by_recvmmsg(struct run* run) {
  int pair[2];
  char byte = 0;
  struct iovec where = {&byte, 1};
  struct mmsghdr message = {.msg_hdr = {.msg_iov = &where, .msg_iovlen = 1}};
  run->left.value = asked_length(run);
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)) return -errno;
  wait_until(interrupt_at);
  if (write(pair[1], &byte, 1) != 1) return -errno;
  begin(run);
  long got = syscall(CALL(recvmmsg), pair[0], &message, 1, 0, &run->left.value);
  long result = got == 1 ? 0 : got < 0 ? -errno : -EPROTO;
  run->asked[0] = INT64_MIN;
  run->asked[1] = raw_now();
  close(pair[0]);
  close(pair[1]);
  return result;
}

// A timer of one kind or the other: its calls take the same arguments.
struct timer_calls {
  long set, get;
};
static const struct timer_calls posix = {SETTIME(timer_settime), GETTIME(timer_gettime)};
static const struct timer_calls descriptor = {SETTIME(timerfd_settime), GETTIME(timerfd_gettime)};

static long arm(struct run* run, const struct timer_calls* calls, int timer, int clock,
                int instant) {
  struct setting setting = {length_of(INTERVAL), asked_length(run)};
  struct length now;
  run->began[0] = raw_now();
  if (instant) {
    if (syscall(GETTIME(clock_gettime), clock, &now)) return -errno;
    setting.value = length_of(nanoseconds(now) + nanoseconds(setting.value));
  }
  long result = syscall(calls->set, timer, instant, &setting, NULL);
  run->began[1] = raw_now();
  return result ? -errno : 0;
}

static long ask(struct run* run, const struct timer_calls* calls, int timer, int old) {
  struct setting off = {{0, 0}, {0, 0}};
  run->asked[0] = raw_now();
  // The other way of setting it, which is not to be taken for the one that is reported.
  long result = old ? syscall(calls->set, timer, old == 2 ? 0 : 1, &off, &run->left)
                    : syscall(calls->get, timer, &run->left);
  run->asked[1] = raw_now();
  return result ? -errno : 0;
}

static long with_timer(struct run* run, int clock, int instant, int old) {
  struct sigevent event = {.sigev_notify = SIGEV_NONE};
  int timer;
  if (syscall(SYS_timer_create, clock, &event, &timer)) return -errno;
  long result = arm(run, &posix, timer, clock, instant);
  if (!result) wait_until(interrupt_at);
  if (!result) result = ask(run, &posix, timer, old);
  syscall(SYS_timer_delete, timer);
  return result;
}
static long with_timerfd(struct run* run, int clock, int instant, int old) {
  int timer = syscall(SYS_timerfd_create, clock, 0);
  if (timer < 0) return -errno;
  long result = arm(run, &descriptor, timer, clock, instant);
  if (!result) wait_until(interrupt_at);
  if (!result) result = ask(run, &descriptor, timer, old);
  close(timer);
  return result;
}

#define TIMER(name, with, clock, instant)                \
  static long by_##name(struct run* run) {               \
    return with(run, clock, instant, 0);                 \
  }                                                      \
  static long by_old_##name(struct run* run) {           \
    return with(run, clock, instant, (instant) ? 2 : 1); \
  }
TIMER(timer_monotonic, with_timer, CLOCK_MONOTONIC, 0)
TIMER(timer_realtime, with_timer, CLOCK_REALTIME, 0)
TIMER(timer_instant, with_timer, CLOCK_REALTIME, 1)
TIMER(timerfd_monotonic, with_timerfd, CLOCK_MONOTONIC, 0)
TIMER(timerfd_realtime, with_timerfd, CLOCK_REALTIME, 0)
TIMER(timerfd_instant, with_timerfd, CLOCK_REALTIME, 1)

// Whole waits, which nobody interrupts.
static long finished(struct run* run, long result) {
  run->asked[1] = raw_now();
  return result == 0 ? 0 : result == -1 ? -errno : -EPROTO;
}
static long whole_ppoll(struct run* run) {
  struct length length = asked_length(run);
  begin(run);
  return finished(run, syscall(CALL(ppoll), NULL, 0, &length, NULL, 8));
}
static long whole_sleep(struct run* run) {
  struct length length = asked_length(run);
  begin(run);
  return finished(run,
                  syscall(CALL(clock_nanosleep), CLOCK_MONOTONIC, 0, &length, &run->left.value));
}

// Those that are interrupted by a signal first, whole waits last.
static const struct {
  const char* name;
  long (*call)(struct run* run);
  int interrupted;
} ways[] = {
    {"nanosleep", by_nanosleep, 1},
    {"monotonic", by_monotonic, 1},
    {"realtime", by_realtime, 1},
    {"in_place", by_in_place, 1},
    {"ppoll", by_ppoll, 1},
    {"pselect", by_pselect, 1},
    {"recvmmsg", by_recvmmsg, 0},
    {"timer_monotonic", by_timer_monotonic, 0},
    {"timer_realtime", by_timer_realtime, 0},
    {"timer_instant", by_timer_instant, 0},
    {"timerfd_monotonic", by_timerfd_monotonic, 0},
    {"timerfd_realtime", by_timerfd_realtime, 0},
    {"timerfd_instant", by_timerfd_instant, 0},
    {"old_timer_monotonic", by_old_timer_monotonic, 0},
    {"old_timer_realtime", by_old_timer_realtime, 0},
    {"old_timer_instant", by_old_timer_instant, 0},
    {"old_timerfd_monotonic", by_old_timerfd_monotonic, 0},
    {"old_timerfd_realtime", by_old_timerfd_realtime, 0},
    {"old_timerfd_instant", by_old_timerfd_instant, 0},
    {"whole_ppoll", whole_ppoll, 0},
    {"whole_sleep", whole_sleep, 0},
};
enum { kWays = sizeof ways / sizeof ways[0], kInterrupted = kWays - 2 };

static void* run_way(void* argument) {
  struct run* run = argument;
  __atomic_store_n(&run->tid, syscall(SYS_gettid), __ATOMIC_RELEASE);
  pthread_barrier_wait(run->start);
  run->result = ways[run->way].call(run);
  __atomic_store_n(&run->done, 1, __ATOMIC_RELEASE);
  return NULL;
}

// By a child, because this process cannot let itself go on.
static pid_t stop_meanwhile(int64_t real) {
  pid_t child = fork();
  if (child) return child;
  wait_until(interrupt_at - real / 3 * 2);
  kill(getppid(), SIGSTOP);
  wait_until(interrupt_at - real / 3);
  kill(getppid(), SIGCONT);
  _exit(0);
}

static void interrupt_all(struct run* runs, int count) {
  const struct timespec pause = {0, 20000000};
  wait_until(interrupt_at);
  for (int missing = 1; missing; nanosleep(&pause, NULL)) {
    missing = 0;
    for (int i = 0; i < count; ++i) {
      if (__atomic_load_n(&runs[i].done, __ATOMIC_ACQUIRE)) continue;
      missing = 1;
      if (ways[i].interrupted) syscall(SYS_tgkill, getpid(), runs[i].tid, SIGUSR1);
    }
    if (raw_now() > interrupt_at + PATIENCE) _exit(4);
  }
}

static void print_run(const struct run* run) {
  if (run->result == -ENOSYS) return;
  printf(" %s=", ways[run->way].name);
  if (run->result) {
    printf("!%s", strerrorname_np(-run->result));
  } else if (run->way >= kInterrupted) {
    printf("took,%lld", (long long)(run->asked[1] - run->began[0]));
  } else {
    int64_t least = run->asked[0] == INT64_MIN ? 0 : run->asked[0] - run->began[1];
    printf("%lld,%lld,%lld,%lld", (long long)nanoseconds(run->left.value), (long long)least,
           (long long)(run->asked[1] - run->began[0]), (long long)nanoseconds(run->left.interval));
  }
}

static void run_all(int64_t milliseconds, int64_t real, int stopped) {
  static struct run runs[kWays];
  pthread_t threads[kWays];
  pthread_barrier_t start;
  const int count = stopped ? kWays : kInterrupted;
  interrupt_at = raw_now() + real;
  pid_t child = stopped ? stop_meanwhile(real) : 0;
  pthread_barrier_init(&start, NULL, count + 1);
  for (int i = 0; i < count; ++i) {
    runs[i] = (struct run){.way = i, .milliseconds = milliseconds, .start = &start};
    if (pthread_create(&threads[i], NULL, run_way, &runs[i])) abort();
  }
  pthread_barrier_wait(&start);
  interrupt_all(runs, count);
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  if (child > 0) waitpid(child, NULL, 0);
  printf("left");
  for (int i = 0; i < count; ++i) print_run(&runs[i]);
  puts("");
  fflush(stdout);
}

enum { kMany = 24 };

struct asking {
  int64_t milliseconds, rounds, asked, less, more;
  pthread_barrier_t* start;
};

static void* ask_again_and_again(void* argument) {
  struct asking* asking = argument;
  const int64_t whole = asking->milliseconds * 1000000;
  struct setting setting = {{0, 0}, length_of(whole)}, left;
  int timer = syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
  pthread_barrier_wait(asking->start);
  if (timer < 0) abort();
  while (asking->asked < asking->rounds) {
    if (syscall(SETTIME(timerfd_settime), timer, 0, &setting, NULL)) abort();
    for (int i = 0; i < 50; i++, asking->asked++) {
      if (syscall(GETTIME(timerfd_gettime), timer, &left)) abort();
      asking->less += nanoseconds(left.value) < whole / 4;
      asking->more += nanoseconds(left.value) > whole + 1000000;
    }
  }
  close(timer);
  return NULL;
}

static void ask_at_once(int64_t milliseconds, int64_t rounds) {
  static struct asking all[kMany];
  struct asking sum = {0};
  pthread_t threads[kMany];
  pthread_barrier_t start;
  pthread_barrier_init(&start, NULL, kMany);
  for (int i = 0; i < kMany; ++i) {
    all[i] = (struct asking){.milliseconds = milliseconds, .rounds = rounds, .start = &start};
    if (pthread_create(&threads[i], NULL, ask_again_and_again, &all[i])) abort();
  }
  for (int i = 0; i < kMany; ++i) {
    pthread_join(threads[i], NULL);
    sum.asked += all[i].asked;
    sum.less += all[i].less;
    sum.more += all[i].more;
  }
  printf("asked %lld less %lld more %lld\n", (long long)sum.asked, (long long)sum.less,
         (long long)sum.more);
  fflush(stdout);
}

static void on_signal(int number) {
  (void)number;
}

int main(void) {
  char line[64];
  sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL);
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    const int stopped = !strncmp(line, "stopped ", 8), many = !strncmp(line, "many ", 5);
    char* rest;
    const int64_t milliseconds = strtoll(line + strcspn(line, "0123456789"), &rest, 10);
    const int64_t second = strtoll(rest, NULL, 10);
    if (many)
      ask_at_once(milliseconds, second);
    else
      run_all(milliseconds, second * 1000000, stopped);
  }
  return 0;
}
