// registers KIND [REPORT]: blocks or spins again and again with known values in every register and
// reports whatever is different afterwards. KIND: spin, timer (spin under a 1 kHz signal),
// nanosleep, poll, epoll, futex, pipe, sigsuspend, alarmread, threads (several of these at once).
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "checker.h"

enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13, R14, R15, GPR_COUNT };
enum {
  kFlags = 0x601,     // CF, DF and IF
  kFlagMask = 0xcd5,  // CF PF AF ZF SF DF OF: those that a program sees
  kWaitMs = 20,
  kSpin = 20000,
  kLateUs = 2000000,  // stuck, not merely waiting for a CPU
};

struct state {
  uint64_t gpr[GPR_COUNT];
  uint64_t flags;
  uint64_t red_zone[16];
  uint8_t ymm[16][32];
};
void state_syscall(const struct state* before, struct state* after);
void state_spin(const struct state* before, struct state* after);

static struct live_report* report;
static __thread uint64_t thread_local_word = 0x7157157;

static uint64_t signal_mask(void) {
  uint64_t mask = 0;
  syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, sizeof mask);
  return mask;
}

static void on_alarm(int number) {
  (void)number;
  __atomic_fetch_add(&report->handlers, 1, __ATOMIC_RELAXED);
}

static void fill(struct state* s) {
  uint8_t* bytes = (uint8_t*)s;
  for (size_t i = 0; i < sizeof *s; i++) bytes[i] = (uint8_t)(i * 37 + i / 256 + 1);
  s->flags = kFlags;
}

static uint64_t compare(const struct state* a, const struct state* b, uint64_t changed_registers) {
  uint64_t bad = 0;
  for (int i = 0; i < GPR_COUNT; i++)
    if ((changed_registers >> i & 1) == 0 && a->gpr[i] != b->gpr[i]) bad |= LIVE_BAD_REGISTER;
  if (((a->flags ^ b->flags) & kFlagMask) != 0) bad |= LIVE_BAD_FLAGS;
  if (memcmp(a->red_zone, b->red_zone, sizeof a->red_zone) != 0) bad |= LIVE_BAD_RED_ZONE;
  if (memcmp(a->ymm, b->ymm, sizeof a->ymm) != 0) bad |= LIVE_BAD_VECTOR;
  return bad;
}

static void finish_round(uint64_t bad, uint64_t mask_before, int64_t started_ns, bool timed) {
  if (thread_local_word != 0x7157157) bad |= LIVE_BAD_TLS;
  if (signal_mask() != mask_before) bad |= LIVE_BAD_MASK;
  report_bad(report, bad);
  int64_t late_us = (raw_clock_ns(CLOCK_MONOTONIC) - started_ns) / 1000 - kWaitMs * 1000;
  if (timed && late_us > kLateUs) {
    __atomic_fetch_add(&report->late, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&report->max_late_us, late_us, __ATOMIC_RELAXED);
  }
  __atomic_fetch_add(&report->rounds, 1, __ATOMIC_RELEASE);
}

static void spin_round(void) {
  struct state before, after;
  fill(&before);
  before.gpr[RCX] = kSpin;
  uint64_t mask = signal_mask();
  state_spin(&before, &after);
  uint64_t bad = compare(&before, &after, UINT64_C(1) << RCX);
  if (after.gpr[RCX] != 0) bad |= LIVE_BAD_REGISTER;
  finish_round(bad, mask, 0, false);
}

// One system call with its arguments; `expected` must come out.
static long call_round(long number, const long arguments[6], long expected, bool timed) {
  static const int kArgument[6] = {RDI, RSI, RDX, R10, R8, R9};
  struct state before, after;
  fill(&before);
  before.gpr[RAX] = (uint64_t)number;
  for (int i = 0; i < 6; i++) before.gpr[kArgument[i]] = (uint64_t)arguments[i];
  uint64_t mask = signal_mask();
  int64_t started = raw_clock_ns(CLOCK_MONOTONIC);
  state_syscall(&before, &after);
  long result = (long)after.gpr[RAX];
  if (result == -EINTR && expected != -EINTR) {
    __atomic_fetch_add(&report->interrupted, 1, __ATOMIC_RELAXED);
  } else if (result != expected) {
    __atomic_store_n(&report->last_bad_result, result, __ATOMIC_RELAXED);
    __atomic_fetch_add(&report->bad_results, 1, __ATOMIC_RELAXED);
  }
  // The syscall instruction itself changes rcx and r11; rax is the result.
  finish_round(compare(&before, &after, 1 << RAX | 1 << RCX | 1 << R11), mask, started, timed);
  return result;
}

// And again later: on a busy machine the first can come before the call that it is to end.
static void alarm_in_2_ms(void) {
  struct itimerval when = {{0, 100000}, {0, 2000}};
  setitimer(ITIMER_REAL, &when, NULL);
}

// A child that writes the bytes 0, 1, 2, ... every 8 ms: none may be lost or come twice.
static void feed(int fd) {
  pid_t parent = getpid();
  if (fork() != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  for (unsigned char c = 0;; c++) {
    sleep_ms(8);
    if (write(fd, &c, 1) != 1) _exit(0);
  }
}

static void* loop(void* kind_name) {
  const char* kind = kind_name;
  struct timespec wait = {0, kWaitMs * 1000000L};
  int fds[2], word = 0;
  unsigned char byte = 0, next = 0;
  uint64_t no_signals = 0;
  report_thread(report);
  if (pipe(fds) != 0) exit(2);
  struct pollfd polled = {fds[0], POLLIN, 0};
  struct epoll_event event = {.events = EPOLLIN};
  int ep = epoll_create1(0);
  epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &event);
  if (strcmp(kind, "pipe") == 0) feed(fds[1]);
  for (;;) {
    if (strcmp(kind, "spin") == 0 || strcmp(kind, "timer") == 0) {
      spin_round();
    } else if (strcmp(kind, "nanosleep") == 0) {
      call_round(SYS_nanosleep, (long[6]){(long)&wait}, 0, true);
    } else if (strcmp(kind, "poll") == 0) {
      call_round(SYS_poll, (long[6]){(long)&polled, 1, kWaitMs}, 0, true);
    } else if (strcmp(kind, "epoll") == 0) {
      call_round(SYS_epoll_wait, (long[6]){ep, (long)&event, 1, kWaitMs}, 0, true);
    } else if (strcmp(kind, "futex") == 0) {
      call_round(SYS_futex, (long[6]){(long)&word, FUTEX_WAIT_PRIVATE, 0, (long)&wait}, -ETIMEDOUT,
                 true);
    } else if (strcmp(kind, "pipe") == 0) {
      long n = call_round(SYS_read, (long[6]){fds[0], (long)&byte, 1}, 1, false);
      if (n == 1 && byte != next++) __atomic_fetch_add(&report->bad_results, 1, __ATOMIC_RELAXED);
    } else if (strcmp(kind, "sigsuspend") == 0) {
      alarm_in_2_ms();
      call_round(SYS_rt_sigsuspend, (long[6]){(long)&no_signals, 8}, -EINTR, false);
    } else if (strcmp(kind, "alarmread") == 0) {
      alarm_in_2_ms();
      call_round(SYS_read, (long[6]){fds[0], (long)&byte, 1}, -EINTR, false);
    } else {
      exit(2);
    }
  }
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  if (!__builtin_cpu_supports("avx")) {
    write_all("unsupported\n", 12);
    return 0;
  }
  const char* kind = argv[1];
  report = open_report(argc > 2 ? argv[2] : NULL);
  bool timer = strcmp(kind, "timer") == 0;
  struct sigaction action = {.sa_handler = on_alarm, .sa_flags = timer ? SA_RESTART : 0};
  sigaction(SIGALRM, &action, NULL);
  if (timer) {
    struct itimerval when = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &when, NULL);
  }
  if (strcmp(kind, "sigsuspend") == 0) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
  }
  uint64_t others = 0;
  if (strcmp(kind, "threads") == 0) {
    static const char* const kKinds[] = {"spin", "nanosleep", "poll", "futex", "pipe", "epoll"};
    for (size_t i = 0; i < sizeof kKinds / sizeof kKinds[0]; i++) {
      pthread_t thread;
      if (pthread_create(&thread, NULL, loop, (void*)kKinds[i]) != 0) return 2;
      others++;
    }
    kind = "nanosleep";
  }
  report_ready_with(report, others);
  loop((void*)kind);
}
