// One round of clock readings that a hot thread makes, and what must hold of them.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "reading.h"
#include "report.h"

enum { CHECK_ERRNO = 1234 };

struct checker {
  struct live_report* report;
  unsigned slot;
  int64_t last_mono;
  uint64_t rounds;
};

// The report that the test made (argument or not): a private page when run by hand.
static inline struct live_report* open_report(const char* path) {
  int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  int flags = fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
  void* p = mmap(NULL, sizeof(struct live_report), PROT_READ | PROT_WRITE, flags, fd, 0);
  if (p == MAP_FAILED) exit(2);
  if (fd >= 0) close(fd);
  struct live_report* report = p;
  report->base_ns = raw_clock_ns(CLOCK_REALTIME) - raw_clock_ns(CLOCK_MONOTONIC);
  report->allowed_count = 1;
  report->allowed_ns[0] = 0;
  return report;
}

static inline void report_ready(struct live_report* report) {
  __atomic_store_n(&report->ready, 1, __ATOMIC_RELEASE);
}

// A thread has begun: libc has given it the signal mask that it keeps.
static inline void report_thread(struct live_report* report) {
  __atomic_fetch_add(&report->threads_made, 1, __ATOMIC_RELEASE);
}

static inline void report_ready_with(struct live_report* report, uint64_t threads) {
  while (__atomic_load_n(&report->threads_made, __ATOMIC_ACQUIRE) < threads) sleep_ms(1);
  report_ready(report);
}

static inline void report_bad(struct live_report* report, uint64_t bits) {
  if (bits == 0) return;
  __atomic_fetch_or(&report->bad_bits, bits, __ATOMIC_RELAXED);
  __atomic_fetch_add(&report->bad, 1, __ATOMIC_RELEASE);
}

// Some allowed offset puts a reading made between `before` and `after` (monotonic, ns) at
// [low, high]. Equal to within 5 ms, in case the host's clock is being slewed.
static inline bool is_allowed(const struct live_report* report, int64_t before, int64_t after,
                              int64_t low, int64_t high) {
  const int64_t slack = 5000000;
  uint64_t count = __atomic_load_n(&report->allowed_count, __ATOMIC_ACQUIRE);
  if (count == 0) return true;
  for (uint64_t i = 0; i < count && i < LIVE_OFFSETS; i++) {
    int64_t shift = report->base_ns + __atomic_load_n(&report->allowed_ns[i], __ATOMIC_RELAXED);
    if (high >= before + shift - slack && low <= after + shift + slack) return true;
  }
  return false;
}

static inline void publish(struct checker* c, const struct live_sample* s) {
  struct live_sample* out = &c->report->samples[c->slot % LIVE_SLOTS];
  uint64_t sequence = __atomic_load_n(&out->sequence, __ATOMIC_RELAXED);
  __atomic_store_n(&out->sequence, sequence + 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  __atomic_store_n(&out->mono_ns, s->mono_ns, __ATOMIC_RELAXED);
  __atomic_store_n(&out->realtime_ns, s->realtime_ns, __ATOMIC_RELAXED);
  __atomic_store_n(&out->gettimeofday_ns, s->gettimeofday_ns, __ATOMIC_RELAXED);
  __atomic_store_n(&out->time_s, s->time_s, __ATOMIC_RELAXED);
  __atomic_store_n(&out->sequence, sequence + 2, __ATOMIC_RELEASE);
}

static inline void check_round(struct checker* c) {
  const int64_t coarse_tick = 20000000;  // time() may be one kernel tick old; HZ >= 100, doubled
  struct timespec before, after, rt;
  struct timeval gtod;
  uint64_t bad = 0;
  errno = CHECK_ERRNO;
  int failed = clock_gettime(CLOCK_MONOTONIC, &before);
  failed |= clock_gettime(CLOCK_REALTIME, &rt);
  failed |= gettimeofday(&gtod, NULL);
  time_t whole = time(NULL);
  failed |= clock_gettime(CLOCK_MONOTONIC, &after);
  if (failed != 0 || errno != CHECK_ERRNO) bad |= LIVE_BAD_ERRNO;
  if ((uint64_t)before.tv_nsec >= 1000000000 || (uint64_t)after.tv_nsec >= 1000000000 ||
      (uint64_t)rt.tv_nsec >= 1000000000 || (uint64_t)gtod.tv_usec >= 1000000)
    bad |= LIVE_BAD_RANGE;
  int64_t m0 = to_ns(before.tv_sec, before.tv_nsec), m1 = to_ns(after.tv_sec, after.tv_nsec);
  if (m0 < c->last_mono || m1 < m0) bad |= LIVE_BAD_BACKWARDS;
  c->last_mono = m1;
  struct live_sample s = {0, m0, to_ns(rt.tv_sec, rt.tv_nsec),
                          to_ns(gtod.tv_sec, gtod.tv_usec * 1000), whole};
  if (!is_allowed(c->report, m0, m1, s.realtime_ns, s.realtime_ns)) bad |= LIVE_BAD_REALTIME;
  if (!is_allowed(c->report, m0, m1, s.gettimeofday_ns, s.gettimeofday_ns)) bad |= LIVE_BAD_GTOD;
  if (!is_allowed(c->report, m0, m1, to_ns(whole, 0), to_ns(whole + 1, coarse_tick)))
    bad |= LIVE_BAD_TIME;
  report_bad(c->report, bad);
  if (c->rounds++ % 64 == 0) {
    publish(c, &s);
    __atomic_fetch_add(&c->report->rounds, 64, __ATOMIC_RELAXED);
  }
}
