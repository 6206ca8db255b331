// A C program with the installed library: threads read the clock while it is shifted and given
// back. Prints "ok", or what was wrong.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time_chaos/time_chaos.h>

enum { kThreads = 4, kCycles = 200, kHour = 3600, kSlack = 20, kPage = 4096 };

static atomic_int stop, wrong;

static time_t real(void) {
  struct timespec now;
  tc_originals()->clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec;
}

static time_t ahead(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec - real();
}

static int is(time_t seconds, time_t wanted) {
  return labs(seconds - wanted) < kSlack;
}

static int off_by(time_t seconds) {
  return is(ahead(), seconds);
}

static void* read_clock(void* unused) {
  (void)unused;
  while (!stop) {
    const time_t seconds = ahead();
    if (!is(seconds, 0) && !is(seconds, kHour)) wrong++;
  }
  return NULL;
}

static int callback(clockid_t clock, struct timespec* into, const struct tc_original* original,
                    void* data) {
  int result = original->clock_gettime(clock, into);
  if (result == 0) into->tv_sec += *(const time_t*)data;
  return result;
}

#define CHECK(what)                                                            \
  do {                                                                         \
    if (!(what)) return printf("%s: %s\n", #what, tc_message()), EXIT_FAILURE; \
  } while (0)

int main(void) {
  static char before[kPage];
  const char* vdso = (const char*)getauxval(AT_SYSINFO_EHDR);
  memcpy(before, vdso, kPage);
  pthread_t threads[kThreads];
  for (int i = 0; i < kThreads; i++) pthread_create(&threads[i], NULL, read_clock, NULL);
  time_t hour = kHour;
  struct tc_functions functions = {0};
  functions.clock_gettime = callback;
  struct tc_clock clock = TC_CLOCK_INIT;
  clock.start = TC_BY_OFFSET;
  clock.value.tv_sec = kHour;
  for (int i = 0; i < kCycles; i++) {
    tc_layer layer = 0;
    if (i % 2)
      CHECK(tc_install(&functions, &hour, &layer) == TC_OK);
    else
      CHECK(tc_install_map(&clock, &layer) == TC_OK);
    CHECK(off_by(kHour));
    CHECK(tc_restore(layer) == TC_OK);
    CHECK(off_by(0));
  }
  stop = 1;
  for (int i = 0; i < kThreads; i++) pthread_join(threads[i], NULL);
  CHECK(wrong == 0);
  CHECK(tc_restore(1) == TC_ERROR_NO_LAYER);
  CHECK(memcmp(before, vdso, kPage) == 0);
  puts("ok");
  return EXIT_SUCCESS;
}
