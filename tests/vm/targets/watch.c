// Reads the wall clock without end, in every way it has, and reports how far each way was from the
// true time and when that changed, so that not one wrong reading goes unseen.
//
//   watch [THREADS]      prints "ready" when it knows the true time; on SIGTERM says the rest and
//   exits
//
// A line is a span of readings that agree with each other:
//   span THREAD WAY LOW HIGH BEGAN ENDED COUNT
// All COUNT readings were between LOW and HIGH ns ahead of the true time; the first was over at
// BEGAN, the last not begun before ENDED (ns of CLOCK_MONOTONIC). The true time is CLOCK_MONOTONIC
// plus what the wall clock was ahead of it at the start, when nobody had shifted it; so
// CLOCK_MONOTONIC must stay true.
//
// A program that has both the vDSO and system calls compares them as well: the way "order" is 0
// while a system call's reading lies between the two vDSO readings around it, 1 second off
// otherwise.
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "ways.h"

#define TOLERANCE INT64_C(5000000)

struct span {
  int64_t low, high, began, ended;
  long count;
};

static int64_t wall_at_zero;  // the wall clock when CLOCK_MONOTONIC was 0
static volatile sig_atomic_t over, laps_wanted;

static void on_signal(int signal) {
  if (signal == SIGTERM) {
    over = 1;
  } else {
    laps_wanted++;
  }
}

// One write: threads do not mix their lines.
static void print_span(int thread, const char* way, const struct span* span) {
  char line[200];
  int length = snprintf(line, sizeof line, "span %d %s %lld %lld %lld %lld %ld\n", thread, way,
                        (long long)span->low, (long long)span->high, (long long)span->began,
                        (long long)span->ended, span->count);
  if (write(1, line, (size_t)length) != length) _exit(3);
}

static void add(int thread, const char* way, struct span* span, int64_t low, int64_t high,
                int64_t before, int64_t after) {
  if (span->count && low <= span->high && high >= span->low) {
    if (low > span->low) span->low = low;
    if (high < span->high) span->high = high;
    span->ended = before;
    span->count++;
    return;
  }
  if (span->count) print_span(thread, way, span);
  *span = (struct span){low, high, after, before, 1};
}

static void read_way(int thread, const struct way* way, struct span* span) {
  int64_t before = monotonic();
  int64_t reading = way->read();
  int64_t after = monotonic();
  add(thread, way->name, span, reading - after - wall_at_zero - TOLERANCE,
      reading - before - wall_at_zero + TOLERANCE + way->lag, before, after);
}

#if defined(WAYS_RAW) && defined(WAYS_LIBC)
static void compare(int thread, struct span* span) {
  int64_t before = monotonic();
  int64_t one = libc_realtime(), other = sys_realtime(), three = libc_realtime();
  int64_t off = one <= other && other <= three ? 0 : SECOND;
  add(thread, "order", span, off, off, before, monotonic());
}
#endif

static void* watch(void* argument) {
  int thread = (int)(intptr_t)argument;
  struct span spans[kWays] = {0};
  const struct timespec pause = {0, 1000000};
#if defined(WAYS_RAW) && defined(WAYS_LIBC)
  struct span order = {0};
#endif
  for (int lap, last_lap = 0; !over; last_lap = lap) {
    lap = laps_wanted;
    for (int i = 0; i < kWays; ++i) read_way(thread, &ways[i], &spans[i]);
#if defined(WAYS_RAW) && defined(WAYS_LIBC)
    compare(thread, &order);
#endif
    if (lap != last_lap && write(1, "lap\n", 4) != 4) _exit(3);
    nanosleep(&pause, NULL);
  }
  for (int i = 0; i < kWays; ++i) print_span(thread, ways[i].name, &spans[i]);
#if defined(WAYS_RAW) && defined(WAYS_LIBC)
  print_span(thread, "order", &order);
#endif
  return NULL;
}

int main(int argc, char** argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  pthread_t started[64];
  int64_t best = INT64_MAX;
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGUSR1, &action, NULL);
  for (int i = 0; i < 200; ++i) {
    int64_t before = monotonic(), wall = ways[0].read(), after = monotonic();
    if (after - before >= best) continue;
    best = after - before;
    wall_at_zero = wall - before - best / 2;
  }
  if (write(1, "ready\n", 6) != 6) return 3;
  if (threads < 1 || threads > 64) return 2;
  for (int i = 1; i < threads; ++i)
    if (pthread_create(&started[i], NULL, watch, (void*)(intptr_t)i)) return 3;
  watch(NULL);
  for (int i = 1; i < threads; ++i) pthread_join(started[i], NULL);
  return 0;
}
