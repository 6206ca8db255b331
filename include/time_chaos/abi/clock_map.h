/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* The formula: what a target reads when the real clock reads `sec`, `nsec`.
 *
 * One inline function, so that the payload, the ptrace engine, the BPF program and the agent's
 * own checks cannot disagree. Plain C, freestanding, no division and no 128-bit type, because
 * BPF has neither. The payload's assembly is held to it bit for bit by a property test.
 *
 * Ranges: results are exact while seconds stay within +-2^62 and, but for offsets, while real -
 * anchor is within +-292 years (int64 nanoseconds) and |rate| < 2^28 (as Q32.32: < 2^60):
 *     OFFSET    fake = real + offset
 *     RATE      fake = anchor_fake + floor((real - anchor_real) * rate / 2^32)    in nanoseconds
 *     SCHEDULE  fake = anchor_fake + the table's value at real - anchor_real: see tc_scheduled()
 * RATE and SCHEDULE never show less than 0 nor more than TC_LAST_SEC: they stand still there.
 * Outside, and with fields that the target overwrote, sums wrap as the payload's registers do:
 * the reading is then wrong, but never undefined behaviour in whoever computes it. */
#ifndef TIME_CHAOS_ABI_CLOCK_MAP_H
#define TIME_CHAOS_ABI_CLOCK_MAP_H

#include "time_chaos/abi/clock_page.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TC_INLINE static inline __attribute__((always_inline, unused))

/* High 64 bits of the signed 128-bit product a * b. */
TC_INLINE int64_t tc_mul_high(int64_t a, int64_t b) {
  uint64_t al = (uint32_t)a, bl = (uint32_t)b;
  int64_t ah = a >> 32, bh = b >> 32;
  uint64_t ll = al * bl;
  int64_t hl = ah * (int64_t)bl + (int64_t)(ll >> 32);
  int64_t lh = (int64_t)al * bh + (int64_t)(uint32_t)hl;
  return ah * bh + (hl >> 32) + (lh >> 32);
}

/* a + b, wrapping. */
TC_INLINE int64_t tc_add(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* Brings nsec from (-2e9, 3e9) into [0, 1e9), carrying into sec. */
TC_INLINE void tc_normalise(int64_t* sec, int64_t* nsec) {
  for (int i = 0; i < 2 && *nsec < 0; i++) {
    *nsec += TC_NSEC_PER_SEC;
    *sec = tc_add(*sec, -1);
  }
  for (int i = 0; i < 2 && *nsec >= TC_NSEC_PER_SEC; i++) {
    *nsec -= TC_NSEC_PER_SEC;
    *sec = tc_add(*sec, 1);
  }
}

/* A clock that would leave the range that a kernel's clock has stands still at its ends. */
TC_INLINE void tc_saturate(int64_t* sec, int64_t* nsec) {
  if (*sec < 0) {
    *sec = *nsec = 0;
  } else if (*sec > TC_LAST_SEC) {
    *sec = TC_LAST_SEC;
    *nsec = TC_NSEC_PER_SEC - 1;
  }
}

/* real - anchor, in nanoseconds. */
TC_INLINE int64_t tc_since_anchor(const struct tc_clock_map* map, int64_t sec, int64_t nsec) {
  uint64_t seconds = (uint64_t)sec - (uint64_t)map->real_sec;
  uint64_t rest = (uint64_t)nsec - (uint64_t)map->real_nsec;
  return (int64_t)(seconds * (uint64_t)TC_NSEC_PER_SEC + rest);
}

/* floor(delta * rate / 2^32), modulo 2^64. */
TC_INLINE int64_t tc_scaled(int64_t delta, int64_t rate) {
  uint64_t low = (uint64_t)delta * (uint64_t)rate;
  return (int64_t)((low >> 32) | ((uint64_t)tc_mul_high(delta, rate) << 32));
}

/* By how much the jitter moves the instant at knot `index`: a hash (splitmix64), scaled to
 * [-span / 2, span / 2). 0 at the anchor, where a clock must not jump. */
TC_INLINE int64_t tc_jitter_knot(const struct tc_clock_table* table, uint64_t index) {
  uint64_t x = table->jitter_seed + index * UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  x ^= x >> 31;
  return index ? tc_mul_high(table->jitter_span, (int64_t)x) : 0;
}

/* t with its jitter. */
TC_INLINE int64_t tc_jittered(const struct tc_clock_table* table, int64_t t) {
  uint64_t shift = table->jitter_shift & 63;
  if (t < 0 || shift == 0) return t;
  uint64_t index = (uint64_t)t >> shift;
  uint64_t beside = (uint64_t)t << (64 - shift) >> 1; /* of the way, as Q0.63 */
  int64_t from = tc_jitter_knot(table, index);
  uint64_t way = (uint64_t)tc_jitter_knot(table, index + 1) - (uint64_t)from;
  int64_t part = tc_mul_high((int64_t)(way << 1), (int64_t)beside);
  return tc_add(tc_add(t, from), part);
}

/* floor((a * rate_a + b * rate_b) / 2^32), modulo 2^64: rounded once, so that two lines that rise
 * together do not fall. */
TC_INLINE uint64_t tc_scaled_sum(int64_t a, int64_t rate_a, int64_t b, int64_t rate_b) {
  uint64_t low_a = (uint64_t)a * (uint64_t)rate_a;
  uint64_t low = low_a + (uint64_t)b * (uint64_t)rate_b;
  uint64_t high = (uint64_t)tc_mul_high(a, rate_a) + (uint64_t)tc_mul_high(b, rate_b);
  high += low < low_a;
  return (low >> 32) | (high << 32);
}

/* What a schedule shows more than at the anchor, so many nanoseconds after it. */
TC_INLINE int64_t tc_scheduled(const struct tc_clock_map* map, const struct tc_clock_table* table,
                               int64_t since) {
  int64_t t = tc_jittered(table, since);
  if (t < 0) return tc_scaled(t, map->before);
  uint64_t at = (uint64_t)t < table->horizon ? (uint64_t)t : table->horizon;
  uint64_t in_round = at;
  uint64_t sum = 0;
  uint64_t period = table->period;
  if (period != 0 && at >= table->loop_at) {
    uint64_t rounds = (at - table->loop_at) / period;
    in_round -= rounds * period;
    sum = rounds * (uint64_t)table->gain;
  }
  /* Its fields, not its place: what follows is then one state for the BPF verifier, and not one for
   * each segment. */
  uint64_t begins = table->segments[0].at;
  int64_t base = table->segments[0].base, rate = table->segments[0].rate;
  for (int i = 1; i < TC_SEGMENT_COUNT && in_round >= table->segments[i].at; i++) {
    begins = table->segments[i].at;
    base = table->segments[i].base;
    rate = table->segments[i].rate;
  }
  sum += (uint64_t)base;
  sum += tc_scaled_sum((int64_t)at, map->rate, (int64_t)(in_round - begins), rate);
  return (int64_t)sum;
}

TC_INLINE void tc_apply_schedule(const struct tc_clock_map* map, const struct tc_clock_table* table,
                                 int64_t* sec, int64_t* nsec) {
  int64_t more = tc_scheduled(map, table, tc_since_anchor(map, *sec, *nsec));
  /* As in tc_apply_rate(), with rate 1. */
  int64_t whole = tc_mul_high(more, TC_RATE_ONE_SEC);
  uint64_t beside = (uint64_t)more - (uint64_t)whole * (uint64_t)TC_NSEC_PER_SEC;
  *nsec = tc_add((int64_t)beside, map->fake_nsec);
  *sec = tc_add(map->fake_sec, whole);
  tc_normalise(sec, nsec);
  tc_saturate(sec, nsec);
}

TC_INLINE void tc_apply_rate(const struct tc_clock_map* map, int64_t* sec, int64_t* nsec) {
  int64_t delta = tc_since_anchor(map, *sec, *nsec);
  int64_t rate = delta < 0 ? map->before : map->rate;
  int64_t rate_sec = delta < 0 ? map->before_sec : map->rate_sec;
  /* Whole seconds of delta * rate are estimated: rate_sec is at most 2^-64 too small, so that
   * the estimate is off by less than half a second either way (too small where delta is
   * positive, too large where it is negative). The nanoseconds are what the exact product,
   * modulo 2^64, leaves beside the estimate: within [-0.5e9, 1.5e9). */
  int64_t whole = tc_mul_high(delta, rate_sec);
  uint64_t product = (uint64_t)tc_scaled(delta, rate);
  uint64_t beside = product - (uint64_t)whole * (uint64_t)TC_NSEC_PER_SEC;
  *nsec = tc_add((int64_t)beside, map->fake_nsec);
  *sec = tc_add(map->fake_sec, whole);
  tc_normalise(sec, nsec);
  tc_saturate(sec, nsec);
}

/* Replaces the real reading by what the target sees. nsec in [0, 1e9) before and after. */
TC_INLINE void tc_map_apply(const struct tc_clock_map* map, const struct tc_clock_table* table,
                            int64_t* sec, int64_t* nsec) {
  if (*sec > map->until_sec || (*sec == map->until_sec && *nsec >= map->until_nsec)) {
    *sec = tc_add(*sec, map->after_sec);
    *nsec = tc_add(*nsec, map->after_nsec);
  } else if (map->kind == TC_MAP_SCHEDULE) {
    tc_apply_schedule(map, table, sec, nsec);
    return;
  } else if (map->kind != TC_MAP_OFFSET) {
    tc_apply_rate(map, sec, nsec);
    return;
  } else {
    *sec = tc_add(*sec, map->fake_sec);
    *nsec = tc_add(*nsec, map->fake_nsec);
  }
  tc_normalise(sec, nsec);
}

/* The copy of the maps that `latch` selects: 12 maps, by clock id. The caller reads latch again
 * afterwards and starts over if it changed. */
TC_INLINE const struct tc_clock_map* tc_page_maps(const struct tc_clock_page* page,
                                                  uint32_t latch) {
  return (latch & TC_COPY_STRIDE) ? page->maps1 : page->maps0;
}

TC_INLINE const struct tc_clock_table* tc_page_table(const struct tc_clock_page* page,
                                                     uint32_t latch) {
  return (latch & TC_COPY_STRIDE) ? &page->table1 : &page->table0;
}

/* The latch that puts the other copy into force. It differs in one byte, bits 8 to 15. */
TC_INLINE uint32_t tc_next_latch(uint32_t latch) {
  return (latch & ~UINT32_C(0xff00)) | ((latch + TC_COPY_STRIDE) & UINT32_C(0xff00));
}

#ifdef __cplusplus
}
#endif
#endif
