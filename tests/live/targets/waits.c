/* Waits for absolute times, in every way that Linux has, all at once.
 *
 *     waits            for every line "MILLISECONDS [KIND]" of its input: every kind but that one
 *                      waits that long, on every clock, and says "KIND CLOCK RESULT REAL LATE": how
 * long it really took and how far its clock was past the end when it returned, in microseconds
 *     waits N          the same for one line, and ends
 *     waits many T     T threads that wait in one way, for every line of its input
 *     waits many T N   the same for one line, and ends
 *     waits loop [T]   threads that wait in a loop with raw calls, under signals, and check after
 * every call that no register has changed; the first line of input ends it waits sem        one
 * sem_timedwait after another, "LATE" for each */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    int64_t end = read_ns(CLOCK_REALTIME) + 200000000;
    struct timespec time = as_timespec(end);
    while (sem_timedwait(&semaphore, &time) != 0 && errno == EINTR) puts("EINTR");
    printf("late %lld\n", (long long)(read_ns(CLOCK_REALTIME) - end) / 1000);
  }
}

int main(int argc, char** argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef __x86_64__
  if (argc > 1 && strcmp(argv[1], "loop") == 0)
    return loop(argc > 2 ? strtoul(argv[2], NULL, 10) : 8), 0;
#endif
  if (argc > 1 && strcmp(argv[1], "sem") == 0) semaphores();
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  int many = argc > 2 && strcmp(argv[1], "many") == 0 ? atoi(argv[2]) : 0;
  if (many && argc > 3) return wait_in_threads(many, atoll(argv[3]) * 1000000), 0;
  if (!many && argc > 1) return wait_in_all_ways(atoll(argv[1]) * 1000000, ""), 0;
  puts("ready");
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    long long length = 0;
    char without[32] = "";
    sscanf(line, "%lld %31s", &length, without);
    if (many)
      wait_in_threads(many, length * 1000000);
    else
      wait_in_all_ways(length * 1000000, without);
  }
  return 0;
}
