// Reads the wall clock in every way a C program can and prints it as one line: what all the
// targets written in C show to the tests.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// The kernel's 64-bit timespec, also for 32-bit programs (include/uapi/linux/time_types.h).
struct kernel_timespec {
  int64_t sec;
  int64_t nsec;
};

#ifdef __x86_64__
#define RAW_CLOCK_GETTIME SYS_clock_gettime
#else
#define RAW_CLOCK_GETTIME SYS_clock_gettime64
#endif

static inline int64_t to_ns(int64_t sec, int64_t nsec) {
  return sec * INT64_C(1000000000) + nsec;
}

// A clock by system call, past the vDSO, in nanoseconds.
static inline int64_t raw_clock_ns(clockid_t clock) {
  struct kernel_timespec t = {0, 0};
  syscall(RAW_CLOCK_GETTIME, clock, &t);
  return to_ns(t.sec, t.nsec);
}

// A clock through libc, in nanoseconds.
static inline int64_t clock_ns(clockid_t clock) {
  struct timespec t = {0, 0};
  clock_gettime(clock, &t);
  return to_ns(t.tv_sec, t.tv_nsec);
}

static inline int64_t gettimeofday_ns(void) {
  struct timeval t = {0, 0};
  gettimeofday(&t, NULL);
  return to_ns(t.tv_sec, t.tv_usec * 1000);
}

static inline void sleep_ms(long ms) {
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

// Writes all of it; a reader that is gone ends the target.
static inline void write_all(const char* text, size_t size) {
  while (size > 0) {
    ssize_t n = write(STDOUT_FILENO, text, size);
    if (n <= 0) _exit(3);
    text += n;
    size -= (size_t)n;
  }
}

// `prefix`rt S.N mono S.N gtod S.N time S coarse S.N tai S.N raw S.N
// mono is read first, so that all other readings of the line were made after that instant.
static inline void print_reading(const char* prefix) {
  const int64_t second = 1000000000;
  int64_t mono = clock_ns(CLOCK_MONOTONIC);
  int64_t rt = clock_ns(CLOCK_REALTIME);
  int64_t gtod = gettimeofday_ns();
  int64_t coarse = clock_ns(CLOCK_REALTIME_COARSE);
  int64_t tai = clock_ns(CLOCK_TAI);
  time_t whole = time(NULL);
  int64_t raw = raw_clock_ns(CLOCK_REALTIME);
  char line[512];
  int n =
      snprintf(line, sizeof line,
               "%srt %lld.%09lld mono %lld.%09lld gtod %lld.%09lld time %lld coarse %lld.%09lld "
               "tai %lld.%09lld raw %lld.%09lld\n",
               prefix, (long long)(rt / second), (long long)(rt % second),
               (long long)(mono / second), (long long)(mono % second), (long long)(gtod / second),
               (long long)(gtod % second), (long long)whole, (long long)(coarse / second),
               (long long)(coarse % second), (long long)(tai / second), (long long)(tai % second),
               (long long)(raw / second), (long long)(raw % second));
  if (n > 0) write_all(line, (size_t)n);
}
