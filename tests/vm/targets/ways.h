// The ways in which a program can read the wall clock, as nanoseconds. WAYS_RAW: system calls made
// with syscall(2); WAYS_LIBC: what the C library offers, which goes through the vDSO where there is
// one. A program may have both. For x86-64 and, with -m32, for i386.
#pragma once

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// The kernel's structures, whatever the C library calls by these names.
struct sec_nsec64 {
  int64_t sec, nsec;
};
struct sec_frac_long {  // struct __kernel_old_timespec, struct __kernel_old_timeval
  long sec, frac;
};

#define SECOND INT64_C(1000000000)

static inline int64_t sys_clock(int id) {
  struct sec_frac_long t;
  return syscall(SYS_clock_gettime, id, &t) == 0 ? t.sec * SECOND + t.frac : INT64_MIN;
}

static inline int64_t sys_clock64(int id) {
#ifdef SYS_clock_gettime64
  struct sec_nsec64 t;
  return syscall(SYS_clock_gettime64, id, &t) == 0 ? t.sec * SECOND + t.nsec : INT64_MIN;
#else
  return sys_clock(id);
#endif
}

static inline int64_t sys_realtime(void) {
  return sys_clock(CLOCK_REALTIME);
}
static inline int64_t sys_realtime64(void) {
  return sys_clock64(CLOCK_REALTIME);
}
static inline int64_t sys_coarse(void) {
  return sys_clock(CLOCK_REALTIME_COARSE);
}
static inline int64_t sys_timeofday(void) {
  struct sec_frac_long t;
  return syscall(SYS_gettimeofday, &t, NULL) == 0 ? t.sec * SECOND + t.frac * 1000 : INT64_MIN;
}
static inline int64_t sys_time(void) {
  return syscall(SYS_time, NULL) * SECOND;
}
static inline int64_t sys_time_stored(void) {
  long stored = 0;
  syscall(SYS_time, &stored);
  return stored * SECOND;
}

static inline int64_t libc_clock(clockid_t id) {
  struct timespec t;
  return clock_gettime(id, &t) == 0 ? t.tv_sec * SECOND + t.tv_nsec : INT64_MIN;
}
static inline int64_t libc_realtime(void) {
  return libc_clock(CLOCK_REALTIME);
}
static inline int64_t libc_coarse(void) {
  return libc_clock(CLOCK_REALTIME_COARSE);
}
static inline int64_t libc_timeofday(void) {
  struct timeval t;
  return gettimeofday(&t, NULL) == 0 ? t.tv_sec * SECOND + t.tv_usec * INT64_C(1000) : INT64_MIN;
}
static inline int64_t libc_time(void) {
  return time(NULL) * SECOND;
}

#ifdef WAYS_RAW
static inline int64_t monotonic(void) {
  return sys_clock64(CLOCK_MONOTONIC);
}
#else
static inline int64_t monotonic(void) {
  return libc_clock(CLOCK_MONOTONIC);
}
#endif

struct way {
  const char* name;
  int64_t (*read)(void);
  int64_t lag;  // how far it may be behind: whole seconds, and ticks, which can come late here
};

static const struct way ways[] = {
#ifdef WAYS_RAW
    {"sys_clock_gettime", sys_realtime, 0},
#ifdef SYS_clock_gettime64
    {"sys_clock_gettime64", sys_realtime64, 0},
#endif
    {"sys_coarse", sys_coarse, 10 * SECOND},    {"sys_gettimeofday", sys_timeofday, 1000},
    {"sys_time", sys_time, 10 * SECOND},        {"sys_time_stored", sys_time_stored, 10 * SECOND},
#endif
#ifdef WAYS_LIBC
    {"clock_gettime", libc_realtime, 0},        {"coarse", libc_coarse, 10 * SECOND},
    {"gettimeofday", libc_timeofday, 1000},     {"time", libc_time, 10 * SECOND},
#endif
};
enum { kWays = sizeof(ways) / sizeof(ways[0]) };
