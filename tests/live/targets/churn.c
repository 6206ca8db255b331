// churn [REPORT]: threads begin and end all the time, each after some checked readings. An agent
// that lists the threads once misses some; one that stops them finds some gone.
#define _GNU_SOURCE
#include <pthread.h>

#include "checker.h"

enum { KEPT = 4, ROUNDS_PER_THREAD = 200 };

static struct live_report* report;

static void* live_shortly(void* slot) {
  struct checker c = {.report = report, .slot = (unsigned)(uintptr_t)slot};
  for (int i = 0; i < ROUNDS_PER_THREAD; i++) check_round(&c);
  return NULL;
}

int main(int argc, char** argv) {
  report = open_report(argc > 1 ? argv[1] : NULL);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  pthread_t threads[KEPT];
  for (uintptr_t i = 0; i < KEPT; i++)
    if (pthread_create(&threads[i], &attributes, live_shortly, (void*)i) != 0) return 2;
  report_ready(report);
  for (uintptr_t i = 0;; i = (i + 1) % KEPT) {
    pthread_join(threads[i], NULL);
    if (pthread_create(&threads[i], &attributes, live_shortly, (void*)i) != 0) return 2;
    __atomic_fetch_add(&report->threads_made, 1, __ATOMIC_RELAXED);
  }
}
