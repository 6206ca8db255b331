/* Waits for absolute times, in every way that Linux has, all at once.
 *
 *     waits            for every line "MILLISECONDS [KIND]" of its input: every kind but that one
 *                      waits that long, on every clock, and says "KIND CLOCK RESULT REAL LATE": how
 * long it really took and how far its clock was past the end when it returned, in microseconds
 *     waits N          the same for one line, and ends
 *     waits many T     T threads that wait in one way, for every line of its input
 *     waits many T N   the same for one line, and ends
 *     waits lengths    waits for lengths of time, for every line "MILLISECONDS [settings]" of its
 *                      input; with "settings" without timers and timeouts that are set beforehand
 *     waits loop [T]   threads that wait in a loop with raw calls, under signals, and check after
 * every call that no register has changed; each has a timer, too, that is far from its end. The
 * first line of input ends it
 *     waits sem        one sem_timedwait after another, "LATE" for each
 *     waits timers     one thread; for a line "set N MILLISECONDS INTERVAL" timer N, of 0 to 7, is
 * set to that time of CLOCK_REALTIME, "delete N" deletes it; when it expires: "N LATE" */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { SKIP = -1 };

static int64_t read_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct timespec as_timespec(int64_t ns) {
  return (struct timespec){ns / 1000000000, ns % 1000000000};
}

/* 0: timed out, as it should; an error; SKIP: there is no such call on that clock, or in this
 * kernel. */
typedef int wait_kind(clockid_t clock, const struct timespec* end);

static int timed_out(long result) {
  if (result == 0) return ECANCELED;
  if (errno == ENOSYS) return SKIP;
  return errno == ETIMEDOUT ? 0 : errno;
}

/* As newer calls have it in 32-bit programs, too. */
struct wide_time {
  int64_t sec, nsec;
};

static int futex_flag(clockid_t clock) {
  return FUTEX_PRIVATE_FLAG | (clock == CLOCK_REALTIME ? FUTEX_CLOCK_REALTIME : 0);
}

static int by_nanosleep(clockid_t clock, const struct timespec* end) {
  return clock_nanosleep(clock, TIMER_ABSTIME, end, NULL);
}

static int by_futex(clockid_t clock, const struct timespec* end) {
  uint32_t word = 0;
  return timed_out(syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | futex_flag(clock), 0, end, NULL,
                           FUTEX_BITSET_MATCH_ANY));
}

static int by_futex_waitv(clockid_t clock, const struct timespec* end) {
  uint32_t word = 0;
  struct {
    uint64_t val, uaddr;
    uint32_t flags, reserved;
  } waiter = {0, (uintptr_t)&word, 2 | 128, 0}; /* 32 bits, private */
  struct wide_time time = {end->tv_sec, end->tv_nsec};
  return timed_out(syscall(449, &waiter, 1, 0, &time, clock));
}

static int by_futex_wait(clockid_t clock, const struct timespec* end) {
  uint32_t word = 0;
  struct wide_time time = {end->tv_sec, end->tv_nsec};
  return timed_out(syscall(455, &word, 0UL, 0xffffffffUL, 2 | 128, &time, clock));
}

static int by_lock_pi(clockid_t clock, const struct timespec* end) {
  if (clock != CLOCK_REALTIME) return SKIP;
  uint32_t word = (uint32_t)getpid();
  return timed_out(syscall(SYS_futex, &word, FUTEX_LOCK_PI | FUTEX_PRIVATE_FLAG, 0, end, NULL, 0));
}

static int by_lock_pi2(clockid_t clock, const struct timespec* end) {
  uint32_t word = (uint32_t)getpid();
  return timed_out(syscall(SYS_futex, &word, 13 | futex_flag(clock), 0, end, NULL, 0));
}

static int by_requeue_pi(clockid_t clock, const struct timespec* end) {
  uint32_t word = 0, other = 0;
  return timed_out(
      syscall(SYS_futex, &word, FUTEX_WAIT_REQUEUE_PI | futex_flag(clock), 0, end, &other, 0));
}

static mqd_t queue_of(char* name) {
  struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 1};
  sprintf(name, "/tc-waits-%d-%ld", getpid(), syscall(SYS_gettid));
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
  mq_unlink(name);
  return queue;
}

static int by_mq_receive(clockid_t clock, const struct timespec* end) {
  if (clock != CLOCK_REALTIME) return SKIP;
  char name[64], byte;
  mqd_t queue = queue_of(name);
  if (queue < 0) return errno;
  int result = timed_out(mq_timedreceive(queue, &byte, 1, NULL, end) < 0 ? -1 : 0);
  mq_close(queue);
  return result;
}

static int by_mq_send(clockid_t clock, const struct timespec* end) {
  if (clock != CLOCK_REALTIME) return SKIP;
  char name[64];
  mqd_t queue = queue_of(name);
  if (queue < 0) return errno;
  mq_send(queue, "", 1, 0);
  int result = timed_out(mq_timedsend(queue, "", 1, 0, end));
  mq_close(queue);
  return result;
}

static int by_timerfd(clockid_t clock, const struct timespec* end) {
  int fd = timerfd_create(clock, 0);
  struct itimerspec setting = {.it_value = *end};
  uint64_t ticks = 0;
  if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &setting, NULL) != 0) return errno;
  ssize_t got = read(fd, &ticks, sizeof ticks);
  close(fd);
  return got == sizeof ticks && ticks == 1 ? 0 : EIO;
}

static int by_timer(clockid_t clock, const struct timespec* end) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  struct itimerspec setting = {.it_value = *end};
  timer_t timer;
  if (timer_create(clock, &event, &timer) != 0) return errno;
  if (timer_settime(timer, TIMER_ABSTIME, &setting, NULL) != 0) return errno;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  while (sigwaitinfo(&set, NULL) < 0 && errno == EINTR) {
  }
  timer_delete(timer);
  return 0;
}

static int by_semaphore(clockid_t clock, const struct timespec* end) {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  return timed_out(sem_clockwait(&semaphore, clock, end));
}

static int by_condition(clockid_t clock, const struct timespec* end) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_condattr_t attributes;
  pthread_cond_t condition;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, clock);
  pthread_cond_init(&condition, &attributes);
  pthread_mutex_lock(&mutex);
  int result;
  while ((result = pthread_cond_timedwait(&condition, &mutex, end)) == 0) {
  }
  return result == ETIMEDOUT ? 0 : result;
}

static const struct {
  const char* name;
  wait_kind* wait;
} kinds[] = {
    {"nanosleep", by_nanosleep},   {"futex", by_futex},           {"waitv", by_futex_waitv},
    {"futex2", by_futex_wait},     {"lock_pi", by_lock_pi},       {"lock_pi2", by_lock_pi2},
    {"requeue_pi", by_requeue_pi}, {"mq_receive", by_mq_receive}, {"mq_send", by_mq_send},
    {"timerfd", by_timerfd},       {"timer", by_timer},           {"semaphore", by_semaphore},
    {"condition", by_condition},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

struct job {
  int kind;
  clockid_t clock;
  int64_t length;
};

static void* wait_once(void* argument) {
  const struct job* job = argument;
  int64_t began = read_ns(CLOCK_MONOTONIC_RAW);
  int64_t end = read_ns(job->clock) + job->length;
  struct timespec time = as_timespec(end), copy = time;
  int result = kinds[job->kind].wait(job->clock, &time);
  int64_t late = read_ns(job->clock) - end;
  int64_t real = read_ns(CLOCK_MONOTONIC_RAW) - began;
  if (memcmp(&time, &copy, sizeof time) != 0) result = EFAULT;
  if (result != SKIP) {
    printf("%s %s %d %lld %lld\n", kinds[job->kind].name,
           job->clock == CLOCK_REALTIME ? "realtime" : "monotonic", result, (long long)real / 1000,
           (long long)(late >= 0 ? late : late - 999) / 1000);
  }
  return NULL;
}

static void wait_in_all_ways(int64_t length, const char* without) {
  static struct job jobs[2 * KINDS];
  pthread_t threads[2 * KINDS];
  int count = 0;
  for (int i = 0; i < 2 * KINDS; i++) {
    if (strcmp(kinds[i / 2].name, without) == 0) continue;
    jobs[count] = (struct job){i / 2, i % 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, length};
    pthread_create(&threads[count], NULL, wait_once, &jobs[count]);
    count++;
  }
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  puts("all");
}

/* Waits for a length of time; `ns`. ERANGE: it was told something wrong about what is left. */
typedef int length_kind(int64_t ns);

static int left_is(int64_t left, int64_t least, int64_t most) {
  if (left >= least && left <= most) return 0;
  printf("left: %lld, not %lld to %lld\n", (long long)left, (long long)least, (long long)most);
  return ERANGE;
}

static int64_t ns_of(const struct timespec* time) {
  return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static int sleep_for(int64_t ns) {
  struct timespec time = as_timespec(ns);
  return clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static int for_nanosleep(int64_t ns) {
  struct timespec time = as_timespec(ns);
  return nanosleep(&time, NULL) == 0 ? 0 : errno;
}

static int for_poll(int64_t ns) {
  return poll(NULL, 0, (int)(ns / 1000000)) == 0 ? 0 : EIO;
}

#ifdef __x86_64__
static int for_ppoll(int64_t ns) {
  struct timespec time = as_timespec(ns);
  if (syscall(SYS_ppoll, NULL, 0, &time, NULL, 8) != 0) return errno;
  return left_is(ns_of(&time), 0, 0);
}

static int for_pselect(int64_t ns) {
  struct timespec time = as_timespec(ns);
  if (syscall(SYS_pselect6, 0, NULL, NULL, NULL, &time, NULL) != 0) return errno;
  return left_is(ns_of(&time), 0, 0);
}

static int for_select(int64_t ns) {
  struct timeval time = {ns / 1000000000, ns % 1000000000 / 1000};
  if (syscall(SYS_select, 0, NULL, NULL, NULL, &time) != 0) return errno;
  return left_is(time.tv_sec + time.tv_usec, 0, 0);
}

/* There is something at once, and nearly all of the time is left. */
static int for_select_left(int64_t ns) {
  int ends[2];
  if (pipe(ends) != 0 || write(ends[1], "", 1) != 1) return errno;
  fd_set set;
  FD_ZERO(&set);
  FD_SET(ends[0], &set);
  int64_t before = read_ns(CLOCK_MONOTONIC);
  struct timeval time = {ns / 1000000000, ns % 1000000000 / 1000};
  long result = syscall(SYS_select, ends[0] + 1, &set, NULL, NULL, &time);
  int64_t took = read_ns(CLOCK_MONOTONIC) - before;
  close(ends[0]);
  close(ends[1]);
  int64_t left = (int64_t)time.tv_sec * 1000000000 + time.tv_usec * 1000;
  if (result != 1) return EIO;
  int wrong = left_is(left, ns - took - 2000, ns);
  return wrong ? wrong : sleep_for(ns);
}
#endif

static int for_epoll_wait(int64_t ns) {
  struct epoll_event event;
  int fd = epoll_create1(0);
  int result = epoll_wait(fd, &event, 1, (int)(ns / 1000000));
  close(fd);
  return result == 0 ? 0 : EIO;
}

static int for_epoll_pwait2(int64_t ns) {
  struct epoll_event event;
  struct wide_time time = {ns / 1000000000, ns % 1000000000};
  int fd = epoll_create1(0);
  long result = syscall(441, fd, &event, 1, &time, NULL, 8L);
  int error = errno;
  close(fd);
  return result == 0 ? 0 : error == ENOSYS ? SKIP : error;
}

static int for_futex(int64_t ns) {
  uint32_t word = 0;
  struct timespec time = as_timespec(ns);
  return timed_out(syscall(SYS_futex, &word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, &time, NULL, 0));
}

static int for_sigtimedwait(int64_t ns) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 5);
  struct timespec time = as_timespec(ns);
  return sigtimedwait(&set, NULL, &time) < 0 && errno == EAGAIN ? 0 : EIO;
}

static int for_semtimedop(int64_t ns) {
  int set = semget(IPC_PRIVATE, 1, 0600);
  struct sembuf down = {0, -1, 0};
  struct timespec time = as_timespec(ns);
  int result = semtimedop(set, &down, 1, &time) < 0 && errno == EAGAIN ? 0 : EIO;
  semctl(set, 0, IPC_RMID);
  return result;
}

static void nothing(int signal) {
  (void)signal;
}

/* Interrupted half way, and then what is left. */
static int for_remainder(int64_t ns) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 1};
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  struct sigaction action = {.sa_handler = nothing};
  sigaction(SIGRTMIN + 1, &action, NULL);
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return errno;
  struct itimerspec setting = {.it_value = as_timespec(ns / 2)};
  int64_t before = read_ns(CLOCK_MONOTONIC);
  timer_settime(timer, 0, &setting, NULL);
  struct timespec time = as_timespec(ns), rest = {0, 0};
  int result = clock_nanosleep(CLOCK_MONOTONIC, 0, &time, &rest);
  int64_t took = read_ns(CLOCK_MONOTONIC) - before;
  timer_delete(timer);
  if (result != EINTR) return result ? result : EIO;
  /* A busy machine may let the wait begin some time after the timer. */
  int wrong = left_is(ns_of(&rest), ns - took - 1000000, ns - ns / 4);
  return wrong ? wrong : sleep_for(ns_of(&rest));
}

/* What is told of a timer that was just set: at most all of it, and no more than has passed less.
 */
static int told(const struct itimerspec* now, int64_t ns, int64_t took) {
  int wrong = left_is(ns_of(&now->it_value), ns - took - 1000, ns + 1000);
  return wrong ? wrong : left_is(ns_of(&now->it_interval), 10 * ns - 1000, 10 * ns + 1000);
}

static int for_timerfd(int64_t ns) {
  int fd = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec setting = {as_timespec(10 * ns), as_timespec(ns)}, now, old;
  uint64_t ticks = 0;
  int64_t before = read_ns(CLOCK_MONOTONIC);
  if (timerfd_settime(fd, 0, &setting, NULL) != 0) return errno;
  timerfd_gettime(fd, &now);
  timerfd_settime(fd, 0, &setting, &old);
  int64_t took = read_ns(CLOCK_MONOTONIC) - before;
  int wrong = told(&now, ns, took);
  if (!wrong) wrong = told(&old, ns, took);
  ssize_t got = read(fd, &ticks, sizeof ticks);
  close(fd);
  return wrong ? wrong : got == sizeof ticks && ticks == 1 ? 0 : EIO;
}

static int for_timer(int64_t ns) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN};
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  struct itimerspec setting = {as_timespec(10 * ns), as_timespec(ns)}, now, old;
  timer_t timer;
  if (timer_create(CLOCK_REALTIME, &event, &timer) != 0) return errno;
  int64_t before = read_ns(CLOCK_MONOTONIC);
  if (timer_settime(timer, 0, &setting, NULL) != 0) return errno;
  timer_gettime(timer, &now);
  timer_settime(timer, 0, &setting, &old);
  int64_t took = read_ns(CLOCK_MONOTONIC) - before;
  int wrong = told(&now, ns, took);
  if (!wrong) wrong = told(&old, ns, took);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  while (sigwaitinfo(&set, NULL) < 0 && errno == EINTR) {
  }
  timer_delete(timer);
  return wrong;
}

static int for_itimer(int64_t ns) {
  struct itimerval setting = {.it_value = {ns / 1000000000, ns % 1000000000 / 1000}}, now, old;
  int64_t before = read_ns(CLOCK_MONOTONIC);
  if (setitimer(ITIMER_REAL, &setting, NULL) != 0) return errno;
  getitimer(ITIMER_REAL, &now);
  setitimer(ITIMER_REAL, &setting, &old);
  int64_t took = read_ns(CLOCK_MONOTONIC) - before;
  int64_t left = (int64_t)now.it_value.tv_sec * 1000000000 + now.it_value.tv_usec * 1000;
  int wrong = left_is(left, ns - took - 20000, ns + 20000);
  left = (int64_t)old.it_value.tv_sec * 1000000000 + old.it_value.tv_usec * 1000;
  if (!wrong) wrong = left_is(left, ns - took - 20000, ns + 20000);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  while (sigwaitinfo(&set, NULL) < 0 && errno == EINTR) {
  }
  return wrong;
}

static int for_receive(int64_t ns) {
  int ends[2];
  char byte;
  struct timeval time = {ns / 1000000000, ns % 1000000000 / 1000}, now = {0, 0};
  socklen_t size = sizeof now;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return errno;
  if (setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time) != 0) return errno;
  getsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &now, &size);
  /* Kept in ticks of up to 10 ms. */
  int64_t told = (int64_t)now.tv_sec * 1000000000 + now.tv_usec * 1000;
  int wrong = left_is(told, ns - 1000, ns + 50000000);
  /* Room for a part of it alone: what lies behind is somebody else's. */
  struct {
    char part[sizeof now / 2];
    char behind[sizeof now / 2];
  } parts = {{0}, {5}}, before = parts;
  size = sizeof parts.part;
  getsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &parts, &size);
  if (memcmp(parts.behind, before.behind, sizeof parts.behind) != 0) wrong = ERANGE;
  ssize_t got = recv(ends[0], &byte, 1, 0);
  int error = errno;
  close(ends[0]);
  close(ends[1]);
  return wrong ? wrong : got < 0 && error == EAGAIN ? 0 : EIO;
}

static const struct {
  const char* name;
  length_kind* wait;
  int setting;
} lengths[] = {
    {"nanosleep", for_nanosleep, 0},
    {"clock_nanosleep", sleep_for, 0},
    {"poll", for_poll, 0},
#ifdef __x86_64__
    {"ppoll", for_ppoll, 0},
    {"select", for_select, 0},
    {"select_left", for_select_left, 0},
    {"pselect", for_pselect, 0},
#endif
    {"epoll_wait", for_epoll_wait, 0},
    {"epoll_pwait2", for_epoll_pwait2, 0},
    {"futex", for_futex, 0},
    {"sigtimedwait", for_sigtimedwait, 0},
    {"semtimedop", for_semtimedop, 0},
    {"remainder", for_remainder, 1},
    {"timerfd", for_timerfd, 1},
    {"timer", for_timer, 1},
    {"itimer", for_itimer, 1},
    {"receive", for_receive, 1},
};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

static void* wait_length(void* argument) {
  const struct job* job = argument;
  int64_t began = read_ns(CLOCK_MONOTONIC_RAW), start = read_ns(CLOCK_MONOTONIC);
  int result = lengths[job->kind].wait(job->length);
  int64_t late = read_ns(CLOCK_MONOTONIC) - start - job->length;
  int64_t real = read_ns(CLOCK_MONOTONIC_RAW) - began;
  if (result != SKIP) {
    printf("%s monotonic %d %lld %lld\n", lengths[job->kind].name, result, (long long)real / 1000,
           (long long)(late >= 0 ? late : late - 999) / 1000);
  }
  return NULL;
}

static void wait_lengths(int64_t length, int without_settings) {
  static struct job jobs[LENGTHS];
  pthread_t threads[LENGTHS];
  int count = 0;
  for (int i = 0; i < LENGTHS; i++) {
    if (without_settings && lengths[i].setting) continue;
    jobs[count] = (struct job){i, CLOCK_MONOTONIC, length};
    pthread_create(&threads[count], NULL, wait_length, &jobs[count]);
    count++;
  }
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  puts("all");
}

enum { MOST_THREADS = 1000 };

static void wait_in_threads(int count, int64_t length) {
  static struct job jobs[MOST_THREADS];
  pthread_t threads[MOST_THREADS];
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  if (count > MOST_THREADS) count = MOST_THREADS;
  for (int i = 0; i < count; i++) {
    jobs[i] = (struct job){i % 2, CLOCK_REALTIME, length};
    pthread_create(&threads[i], &small, wait_once, &jobs[i]);
  }
  for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
  puts("all");
}

#ifdef __x86_64__
static atomic_bool quit;
static atomic_ulong done;

/* futex(WAIT_BITSET | CLOCK_REALTIME), with all that a call must leave alone looked at. */
static long checked_wait(const struct timespec* end) {
  static uint32_t word;
  register uint64_t r10 __asm__("r10") = (uintptr_t)end;
  register uint64_t r8 __asm__("r8") = 0;
  register uint64_t r9 __asm__("r9") = 0xffffffff;
  uint64_t rdi = (uintptr_t)&word, rsi = FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME | 128, rdx = 0;
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r10), "+r"(r8), "+r"(r9)
                   : "a"(SYS_futex)
                   : "rcx", "r11", "memory");
  if (r10 != (uintptr_t)end || rdi != (uintptr_t)&word || rdx != 0 || r8 != 0 || r9 != 0xffffffff) {
    printf("a register has changed\n");
    abort();
  }
  return result;
}

static void* wait_in_a_loop(void* argument) {
  unsigned seed = (unsigned)(uintptr_t)argument;
  struct sigevent none = {.sigev_notify = SIGEV_NONE};
  timer_t timer;
  if (timer_create(CLOCK_REALTIME, &none, &timer) != 0) abort();
  while (!quit) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
    int64_t end = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec + rand_r(&seed) % 30000000;
    struct timespec time = as_timespec(end);
    long result = checked_wait(&time);
    if (result != -ETIMEDOUT && result != -EINTR) {
      printf("futex: %ld\n", result);
      abort();
    }
    done++;
    struct itimerspec far = {.it_value = {now.tv_sec + 100000, 0}};
    if (done % 4 == 0 && timer_settime(timer, TIMER_ABSTIME, &far, NULL) != 0) abort();
  }
  return NULL;
}

static void handler(int signal) {
  (void)signal;
  char room[4096]; /* what stands below the stack pointer is not kept */
  memset(room, 0x5a, sizeof room);
  __asm__ volatile("" ::"r"(room) : "memory");
}

static void loop(uintptr_t count) {
  pthread_t threads[MOST_THREADS];
  if (count == 0) count = 8;
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  for (uintptr_t i = 0; i < count; i++) {
    pthread_create(&threads[i], NULL, wait_in_a_loop, (void*)i);
  }
  struct itimerval often = {{0, 7000}, {0, 7000}};
  setitimer(ITIMER_REAL, &often, NULL);
  char line[64];
  puts("ready");
  while (fgets(line, sizeof line, stdin) == NULL && !feof(stdin)) clearerr(stdin);
  quit = 1;
  for (uintptr_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
  printf("done %lu\n", (unsigned long)done);
}

#endif

static void semaphores(void) {
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  puts("ready");
  for (;;) {
    int64_t end = read_ns(CLOCK_REALTIME) + 600000000;
    struct timespec time = as_timespec(end);
    while (sem_timedwait(&semaphore, &time) != 0 && errno == EINTR) puts("EINTR");
    printf("late %lld\n", (long long)(read_ns(CLOCK_REALTIME) - end) / 1000);
  }
}

enum { TIMERS = 8 };
static timer_t timers[TIMERS];
static int64_t due[TIMERS], intervals[TIMERS];

static void change_timer(const char* line) {
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL};
  long long which, length, interval;
  if (sscanf(line, "delete %lld", &which) == 1) {
    timer_delete(timers[which]);
  } else if (sscanf(line, "set %lld %lld %lld", &which, &length, &interval) == 3) {
    event.sigev_signo = SIGRTMIN + 1 + (int)which;
    if (!timers[which] && timer_create(CLOCK_REALTIME, &event, &timers[which]) != 0) abort();
    intervals[which] = interval * 1000000;
    due[which] = read_ns(CLOCK_REALTIME) + length * 1000000;
    struct itimerspec setting = {as_timespec(intervals[which]), as_timespec(due[which])};
    if (timer_settime(timers[which], TIMER_ABSTIME, &setting, NULL) != 0) abort();
  }
  puts("done");
}

static void timers_of_one_thread(void) {
  sigset_t set;
  sigemptyset(&set);
  for (int i = 0; i < TIMERS; i++) sigaddset(&set, SIGRTMIN + 1 + i);
  sigprocmask(SIG_BLOCK, &set, NULL);
  struct pollfd fds[2] = {{0, POLLIN, 0}, {signalfd(-1, &set, 0), POLLIN, 0}};
  struct signalfd_siginfo signal;
  char line[64];
  setvbuf(stdin, NULL, _IONBF, 0);
  puts("ready");
  while (poll(fds, 2, -1) > 0) {
    if ((fds[1].revents & POLLIN) && read(fds[1].fd, &signal, sizeof signal) == sizeof signal) {
      int which = (int)signal.ssi_signo - SIGRTMIN - 1;
      printf("%d %lld\n", which, (long long)(read_ns(CLOCK_REALTIME) - due[which]) / 1000);
      due[which] += intervals[which];
    }
    if (!fds[0].revents) continue;
    if (fgets(line, sizeof line, stdin) == NULL) return;
    change_timer(line);
  }
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef __x86_64__
  if (argc > 1 && strcmp(argv[1], "loop") == 0)
    return loop(argc > 2 ? strtoul(argv[2], NULL, 10) : 8), 0;
#endif
  if (argc > 1 && strcmp(argv[1], "sem") == 0) semaphores();
  if (argc > 1 && strcmp(argv[1], "timers") == 0) return timers_of_one_thread(), 0;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigaddset(&set, SIGALRM);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  int many = argc > 2 && strcmp(argv[1], "many") == 0 ? atoi(argv[2]) : 0;
  if (many && argc > 3) return wait_in_threads(many, atoll(argv[3]) * 1000000), 0;
  int by_length = argc > 1 && strcmp(argv[1], "lengths") == 0;
  if (!many && !by_length && argc > 1) return wait_in_all_ways(atoll(argv[1]) * 1000000, ""), 0;
  puts("ready");
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    long long length = 0;
    char without[32] = "";
    sscanf(line, "%lld %31s", &length, without);
    if (by_length)
      wait_lengths(length * 1000000, without[0] != 0);
    else if (many)
      wait_in_threads(many, length * 1000000);
    else
      wait_in_all_ways(length * 1000000, without);
  }
  return 0;
}
