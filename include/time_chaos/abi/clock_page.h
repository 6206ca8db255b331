/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* The clock page: the one page of data that says what time a target sees.
 *
 * It is mapped MAP_SHARED into the target, read there by the payload, and read and written by
 * the agent. Forked children share it, so one write changes them all. Plain C, freestanding,
 * fixed widths: the payload's assembly and (later) the BPF program rely on the offsets below.
 *
 * The maps exist twice. Bit 11 of `latch` selects the copy in force, and is its offset in the page
 * at the same time. A writer fills the other copy and then adds 2048 to `latch` by one store of one
 * byte; a reader that finds `latch` changed since it began reads the clock again. A writer that
 * dies in the middle has changed nothing that anyone reads, so no reader ever waits.
 *
 * A page of zeros is a valid page: every clock is shown as it is. */
#ifndef TIME_CHAOS_ABI_CLOCK_PAGE_H
#define TIME_CHAOS_ABI_CLOCK_PAGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define TC_STATIC_ASSERT static_assert
#else
#define TC_STATIC_ASSERT _Static_assert
#endif

enum {
  TC_PAGE_SIZE = 4096,
  /* Clock ids 0..11 (CLOCK_REALTIME..CLOCK_TAI, include/uapi/linux/time.h) can be mapped; all
   * others (CPU-time clocks of other processes, dynamic and auxiliary clocks) never are. */
  TC_CLOCK_COUNT = 12,
  TC_EXPERIMENT_NAME_MAX = 48, /* with the closing NUL */
  TC_PAGE_VERSION = 2,
  TC_COPY_STRIDE = 2048, /* from one copy of the maps and of the table to the other */
  TC_SEGMENT_COUNT = 14,
  TC_WORDS_MAX = 112, /* with the closing NUL */
};

/* "tc-page1", little-endian. */
#define TC_PAGE_MAGIC UINT64_C(0x31656761702d6374)
#define TC_NSEC_PER_SEC INT64_C(1000000000)
/* `until_sec` of a map that never expires. */
#define TC_NEVER INT64_MAX
/* Rate 1, in the map's fixed point; and as `rate_sec`. */
#define TC_RATE_ONE (INT64_C(1) << 32)
#define TC_RATE_ONE_SEC INT64_C(18446744073)
/* The last second that a clock with a rate or a schedule shows, in 2262: as a count of nanoseconds
 * the next ones do not fit 64 bits, in the kernel nor in many a program. Such a clock stands still
 * at its end, and at 0. */
#define TC_LAST_SEC INT64_C(9223372035)
/* `at` of a segment that is not there. */
#define TC_NO_SEGMENT UINT64_MAX

enum tc_map_kind {
  TC_MAP_OFFSET = 0,   /* fake = real + (fake_sec, fake_nsec) */
  TC_MAP_RATE = 1,     /* fake = (fake_sec, fake_nsec) + (real - (real_sec, real_nsec)) * rate */
  TC_MAP_SCHEDULE = 2, /* fake = (fake_sec, fake_nsec) + what the table says for real - anchor */
};

/* How one clock id is shown. All nsec fields are in [0, 1e9). */
struct tc_clock_map {
  uint32_t kind;       /* enum tc_map_kind */
  uint32_t carry_nsec; /* OFFSET: 1e9 - fake_nsec: below it the sum of nanoseconds needs no carry,
                          and the payload's short way may be taken. 0 is always right */
  int64_t fake_sec;    /* OFFSET: what is added. Else: what is shown at the anchor */
  int64_t fake_nsec;
  int64_t real_sec; /* RATE, SCHEDULE: the anchor, in the clock's own real readings */
  int64_t real_nsec;
  int64_t rate;     /* RATE: Q32.32, |rate| < 2^60 (see clock_map.h) */
  int64_t rate_sec; /* RATE: floor(rate / 1e9) as Q0.64, the estimate of whole seconds */
  /* From this reading of the real clock on the map is over and fake = real + after. */
  int64_t until_sec;
  int64_t until_nsec;
  int64_t after_sec; /* 0 but for monotonic clocks, which must not step back */
  int64_t after_nsec;
  /* RATE, SCHEDULE: the rate in front of the anchor, likewise. An anchor that is still to come lets
   * a monotonic clock slow down without a step back, however late the map is put into force. */
  int64_t before;
  int64_t before_sec;
  int64_t spare[3]; /* 0 */
};

/* From `at` on, in nanoseconds since the anchor, a clock shows base + (t - at) * rate more than its
 * own rate alone would. */
struct tc_segment {
  uint64_t at;
  int64_t base;
  int64_t rate; /* Q32.32 */
};

/* What clocks with a schedule show. One table for all of them, each with its own anchor. */
struct tc_clock_table {
  /* From `loop_at` on, `period` nanoseconds come again and again, with `gain` more each time.
   * period 0: they do not. */
  uint64_t loop_at;
  uint64_t period;
  int64_t gain;
  uint64_t horizon; /* at this t time stands still, before a sum could leave 64 bits; < 2^63 */
  /* t is read as up to jitter_span / 2 earlier or later: a chain of straight lines between a knot
   * every 2^jitter_shift nanoseconds. 0: it is not. */
  uint64_t jitter_seed;
  int64_t jitter_span;
  uint64_t jitter_shift;
  uint64_t feed; /* 0: this is all of it. Else a number for those who bring the rest */
  /* In the order of `at`; the first is in force from the anchor on. */
  struct tc_segment segments[TC_SEGMENT_COUNT];
};

struct tc_clock_page {
  struct tc_clock_map maps0[TC_CLOCK_COUNT];
  uint64_t magic;         /* TC_PAGE_MAGIC once the page is set up */
  uint32_t version;       /* TC_PAGE_VERSION */
  uint32_t latch;         /* see above; only bits 8 to 15 ever change */
  int32_t tz_minuteswest; /* the kernel's struct timezone as it was at attach, for */
  int32_t tz_dsttime;     /* gettimeofday's second argument */
  uint32_t clocks;        /* bit c: clock id c is part of the experiment */
  uint32_t owner_pid;     /* the agent, in the pid namespace that it runs in; 0: detached */
  uint64_t owner_start;   /* its start time (field 22 of /proc/PID/stat) */
  uint64_t owner_pidns;   /* inode of its pid namespace: owner_pid means nothing outside */
  int64_t created_sec;    /* real CLOCK_REALTIME at attach */
  uint64_t twin;          /* a random number that the BPF engine's copy of this page carries as
                             well; 0: there is no such copy */
  char experiment[TC_EXPERIMENT_NAME_MAX];
  struct tc_clock_table table0;
  struct tc_clock_map maps1[TC_CLOCK_COUNT];
  char words[TC_WORDS_MAX]; /* what was asked for, for status */
  struct tc_clock_table table1;
};

TC_STATIC_ASSERT(sizeof(struct tc_clock_map) == 128, "the payload scales by 128");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, kind) == 0, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, carry_nsec) == 4, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, fake_sec) == 8, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, fake_nsec) == 16, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, real_sec) == 24, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, real_nsec) == 32, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, rate) == 40, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, rate_sec) == 48, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, until_sec) == 56, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, until_nsec) == 64, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, after_sec) == 72, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, after_nsec) == 80, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, before) == 88, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_map, before_sec) == 96, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_page, maps0) == 0, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_page, magic) == 1536, "a cache line of its own");
TC_STATIC_ASSERT(offsetof(struct tc_clock_page, latch) == 1548, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_page, tz_minuteswest) == 1552, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_page, maps1) == TC_COPY_STRIDE, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_page, table0) == 1648, "payload");
TC_STATIC_ASSERT(offsetof(struct tc_clock_page, table1) == 1648 + TC_COPY_STRIDE, "payload");
TC_STATIC_ASSERT(sizeof(struct tc_clock_page) == TC_PAGE_SIZE, "one page");

#endif
