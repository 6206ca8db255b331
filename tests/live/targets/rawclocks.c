// Reads its clocks by system call only, as some static programs and runtimes do: what the vDSO
// engine cannot reach. Counts the SIGUSR1 it gets, so that a tracer that swallows one is seen.
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>

#include "reading.h"

static volatile sig_atomic_t signals;

static void count_signal(int number) {
  (void)number;
  signals++;
}

int main(void) {
  struct sigaction action = {.sa_handler = count_signal, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &action, NULL);
  for (;;) {
    const int64_t second = 1000000000;
    int64_t mono = raw_clock_ns(CLOCK_MONOTONIC);
    int64_t rt = raw_clock_ns(CLOCK_REALTIME);
    struct timeval gtod = {0, 0};
    syscall(SYS_gettimeofday, &gtod, NULL);
    long whole = syscall(SYS_time, NULL);
    int64_t vdso = clock_ns(CLOCK_REALTIME);
    char line[256];
    int n = snprintf(line, sizeof line,
                     "rt %lld.%09lld mono %lld.%09lld gtod %lld.%06ld time %ld vdso %lld.%09lld "
                     "signals %d\n",
                     (long long)(rt / second), (long long)(rt % second), (long long)(mono / second),
                     (long long)(mono % second), (long long)gtod.tv_sec, (long)gtod.tv_usec, whole,
                     (long long)(vdso / second), (long long)(vdso % second), (int)signals);
    if (n > 0) write_all(line, (size_t)n);
    sleep_ms(20);
  }
}
