// The application of the tests: prints every 20 ms, a line each, CLOCK_MONOTONIC, and
// CLOCK_REALTIME as the vDSO and as a system call have it, in nanoseconds. Static: its image has
// nothing else.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long nanoseconds(struct timespec time) {
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(void) {
  const struct timespec pause = {.tv_nsec = 20000000};
  for (;;) {
    struct timespec monotonic, vdso, raw;
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_REALTIME, &vdso);
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &raw);
    printf("%lld %lld %lld\n", nanoseconds(monotonic), nanoseconds(vdso), nanoseconds(raw));
    fflush(stdout);
    nanosleep(&pause, NULL);
  }
}
