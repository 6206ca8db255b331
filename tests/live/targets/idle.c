// idle N: N threads that sleep, 50 ms at a time: what stopping many threads costs, and no more.
#include <pthread.h>
#include <stdlib.h>

#include "reading.h"

static void* doze(void* unused) {
  (void)unused;
  for (;;) sleep_ms(50);
  return NULL;
}

int main(int argc, char** argv) {
  long threads = argc > 1 ? atol(argv[1]) : 1;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  for (long i = 1; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, doze, NULL) != 0) return 2;
  }
  write_all("ready\n", 6);
  doze(NULL);
}
