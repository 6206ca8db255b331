// Counts readings of the wall clock that are not shifted as they should be, with many threads in a
// hot loop of system calls: an engine that now and then misses a call is found here.
//
//   loss THREADS READINGS OFFSET_SECONDS      prints "ready"; starts at a line on its standard
//   input
//
// Prints "readings N wrong M" when N has reached READINGS, and the first wrong one. A reading is
// right when it is OFFSET_SECONDS and at most ten minutes ahead of the time at the start.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define WAYS_RAW
#include "ways.h"

static int64_t lowest, highest;
static long wanted;
static int with_time;
static long done, wrong;
static int64_t first_wrong;

static void* run(void* unused) {
  enum { kBatch = 64 };
  while (__atomic_load_n(&done, __ATOMIC_RELAXED) < wanted) {
    for (int i = 0; i < kBatch; ++i) {
      int64_t reading = i % 8 ? sys_realtime() : sys_timeofday();
      // time(2) is behind by the rest of a second, and by a tick.
      if (with_time && i % 8 == 4) reading = sys_time() + 2 * SECOND;
      if (reading >= lowest && reading <= highest) continue;
      if (__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED) == 0) first_wrong = reading;
    }
    __atomic_fetch_add(&done, kBatch, __ATOMIC_RELAXED);
  }
  return unused;
}

int main(int argc, char** argv) {
  pthread_t threads[256];
  char line[16];
  if (argc < 4) return 2;
  with_time = argc > 4;
  int count = atoi(argv[1]);
  wanted = atol(argv[2]);
  if (count < 1 || count > 256) return 2;
  // gettimeofday is behind clock_gettime by up to a microsecond.
  lowest = sys_realtime() + atol(argv[3]) * SECOND - 1000;
  highest = lowest + 600 * SECOND;
  puts("ready");
  fflush(stdout);
  if (!fgets(line, sizeof line, stdin)) return 3;
  for (int i = 0; i < count; ++i)
    if (pthread_create(&threads[i], NULL, run, NULL)) return 3;
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  printf("readings %ld wrong %ld", done, wrong);
  if (wrong) printf(" first off by %lld ns", (long long)(first_wrong - lowest));
  puts("");
  fflush(stdout);
  // Stays: the agent recovers it, the test ends it.
  return fgets(line, sizeof line, stdin) ? 0 : 0;
}
