/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* The formula: what a target reads when the real clock reads `sec`, `nsec`.
 *
 * One inline function, so that the payload, the ptrace engine, the BPF program and the agent's
 * own checks cannot disagree. Plain C, freestanding, no division and no 128-bit type, because
 * BPF has neither. The payload's assembly is held to it bit for bit by a property test.
 *
 * Ranges: results are exact while seconds stay within +-2^62 and, for rates, while real - anchor
 * is within +-292 years (int64 nanoseconds) and |rate| < 2^28 (as Q32.32: < 2^60):
 *     OFFSET  fake = real + offset
 *     RATE    fake = anchor_fake + floor((real - anchor_real) * rate / 2^32)    in nanoseconds
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

/* Replaces the real reading by what the target sees. nsec in [0, 1e9) before and after. */
TC_INLINE void tc_map_apply(const struct tc_clock_map* map, int64_t* sec, int64_t* nsec) {
  if (*sec > map->until_sec || (*sec == map->until_sec && *nsec >= map->until_nsec)) {
    *sec = tc_add(*sec, map->after_sec);
    *nsec = tc_add(*nsec, map->after_nsec);
  } else if (map->kind == TC_MAP_RATE) {
    uint64_t seconds = (uint64_t)*sec - (uint64_t)map->real_sec;
    uint64_t rest = (uint64_t)*nsec - (uint64_t)map->real_nsec;
    int64_t delta = (int64_t)(seconds * (uint64_t)TC_NSEC_PER_SEC + rest);
    /* Whole seconds of delta * rate are estimated: rate_sec is at most 2^-64 too small, so that
     * the estimate is off by less than half a second either way (too small where delta is
     * positive, too large where it is negative). The nanoseconds are what the exact product,
     * modulo 2^64, leaves beside the estimate: within [-0.5e9, 1.5e9). */
    int64_t whole = tc_mul_high(delta, map->rate_sec);
    uint64_t low = (uint64_t)delta * (uint64_t)map->rate;
    uint64_t product = (low >> 32) | ((uint64_t)tc_mul_high(delta, map->rate) << 32);
    uint64_t beside = product - (uint64_t)whole * (uint64_t)TC_NSEC_PER_SEC;
    *nsec = tc_add((int64_t)beside, map->fake_nsec);
    *sec = tc_add(map->fake_sec, whole);
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

/* The latch that puts the other copy into force. It differs in one byte, bits 8 to 15. */
TC_INLINE uint32_t tc_next_latch(uint32_t latch) {
  return (latch & ~UINT32_C(0xff00)) | ((latch + TC_COPY_STRIDE) & UINT32_C(0xff00));
}

#ifdef __cplusplus
}
#endif
#endif
