// hot N [REPORT] [timer]: N threads that do nothing but read clocks and check every reading, and
// optionally a 1 kHz timer whose signals are counted exactly.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "checker.h"

static struct live_report* report;
static int64_t timer_start_ns;

enum { TIMER_PERIOD_NS = 1000000 };

// Timers count the expiries that found their signal still pending (timer_getoverrun(2)), so 1 plus
// the overruns of all signals is the number of periods. A swallowed signal leaves a deficit.
static void on_tick(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)context;
  int saved = errno;
  uint64_t due = 1 + (uint64_t)info->si_overrun;
  uint64_t ticks = __atomic_add_fetch(&report->ticks, due, __ATOMIC_RELAXED);
  int64_t expected = (raw_clock_ns(CLOCK_MONOTONIC) - timer_start_ns) / TIMER_PERIOD_NS;
  __atomic_store_n(&report->tick_deficit, expected - (int64_t)ticks, __ATOMIC_RELAXED);
  __atomic_fetch_add(&report->handlers, 1, __ATOMIC_RELEASE);
  struct timespec t;
  if (clock_gettime(CLOCK_REALTIME, &t) != 0 || (uint64_t)t.tv_nsec >= 1000000000)
    report_bad(report, LIVE_BAD_RANGE);
  errno = saved;
}

static void start_timer(void) {
  struct sigaction action = {.sa_sigaction = on_tick, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) exit(2);
  timer_start_ns = raw_clock_ns(CLOCK_MONOTONIC);
  int64_t first = timer_start_ns + TIMER_PERIOD_NS;
  struct itimerspec when = {.it_interval = {0, TIMER_PERIOD_NS},
                            .it_value = {first / 1000000000, first % 1000000000}};
  if (timer_settime(timer, TIMER_ABSTIME, &when, NULL) != 0) exit(2);
}

static void* read_for_ever(void* slot) {
  struct checker c = {.report = report, .slot = (unsigned)(uintptr_t)slot};
  report_thread(report);
  for (;;) check_round(&c);
  return NULL;
}

int main(int argc, char** argv) {
  long threads = argc > 1 ? atol(argv[1]) : 1;
  report = open_report(argc > 2 ? argv[2] : NULL);
  if (argc > 3 && strcmp(argv[3], "timer") == 0) start_timer();
  for (long i = 1; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_for_ever, (void*)(uintptr_t)i) != 0) return 2;
  }
  report_ready_with(report, (uint64_t)threads - 1);
  read_for_ever(NULL);
}
