/* A library that reads the wall clock by each of the functions whose slots can be changed, and with
 * arguments that are wrong. What is not as it should be, shift apart, is told as "bad". */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NOWHERE ((void*)8)

static int good(void) {
  struct timeval* volatile nothing = NULL;
  struct timespec untouched = {7, 7};
  long long number = syscall(SYS_getpid);
  errno = 0;
  if (number != getpid() || errno != 0) return 1;
  if (clock_gettime(99, &untouched) != -1 || errno != EINVAL || untouched.tv_sec != 7) return 2;
  /* 10 was CLOCK_SGI_CYCLE: among the clocks that are ours to map, but the kernel has none. */
  if (clock_gettime(10, &untouched) != -1 || errno != EINVAL || untouched.tv_sec != 7) return 12;
  if (clock_gettime(-1000000, &untouched) != -1 || errno != EINVAL) return 3;
  errno = 0;
  if (syscall(SYS_clock_gettime, CLOCK_REALTIME, NOWHERE) != -1 || errno != EFAULT) return 4;
  if (syscall(SYS_gettimeofday, NOWHERE, NULL) != -1 || errno != EFAULT) return 5;
  if (syscall(SYS_clock_gettime, 99, &untouched) != -1 || errno != EINVAL) return 6;
  if (syscall(SYS_time, NOWHERE) != -1 || errno != EFAULT) return 7;
  if (syscall(SYS_getppid, 1, 2, 3, 4, 5, 6) != getppid()) return 8;
  errno = 77;
  time_t stored = 0, now = time(&stored);
  if (stored != now || time(NULL) < now || gettimeofday(nothing, NULL) != 0 || errno != 77)
    return 9;
  struct timespec cpu;
  if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu) != 0 || cpu.tv_sec > 1000) return 10;
  if (syscall(SYS_write, -1, "", 0) != -1 || errno != EBADF) return 11;
  return 0;
}

void READ(FILE* out);
void READ(FILE* out) {
  struct timespec clock = {0, 0}, call = {0, 0};
  struct timeval day = {0, 0}, call_day = {0, 0};
  int failed = clock_gettime(CLOCK_REALTIME, &clock) | gettimeofday(&day, NULL);
  failed |= syscall(SYS_clock_gettime, CLOCK_REALTIME, &call) != 0;
  failed |= syscall(SYS_gettimeofday, &call_day, NULL) != 0;
  fprintf(out, "%s %lld %lld %lld %lld %lld %lld bad %d %d\n", NAME, (long long)clock.tv_sec,
          (long long)day.tv_sec, (long long)time(NULL), (long long)call.tv_sec,
          (long long)call_day.tv_sec, (long long)syscall(SYS_time, NULL), failed, good());
}

/* The address of clock_gettime, as a program gets it that keeps it. A library that does not take it
 * has none but slots that are jumped through. */
#ifdef KEEP
typedef int (*clock_function)(clockid_t, struct timespec*);
clock_function KEEP(void);
clock_function KEEP(void) {
  return clock_gettime;
}
#endif
