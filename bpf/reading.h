/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A reading of a clock, and the map that a target has for it. */
#ifndef TIME_CHAOS_BPF_READING_H
#define TIME_CHAOS_BPF_READING_H

#include "maps.h"
#include "time_chaos/abi/clock_map.h"

/* include/uapi/linux/time.h */
#define CLOCK_REALTIME 0
#define CLOCK_REALTIME_COARSE 5
#define CLOCK_BOOTTIME 7

struct reading {
  int64_t sec, nsec;
};

/* What the target sees instead. A writer flips the latch after it has filled the copy of the maps
 * that is not in force; so a latch that did not change meanwhile means one whole map. */
static __always_inline bool map_reading(const struct tc_bpf_target* target, __u32 clock,
                                        const struct reading* real, struct reading* shown,
                                        int attempts) {
  __u32 number = target->page;
  struct tc_clock_page* page = bpf_map_lookup_elem(&tchaos_pages, &number);
  __u64 index = clock;
  barrier_var(index); /* checked in the register that is used, so that the verifier sees it */
  if (!page || index >= TC_CLOCK_COUNT) return false;
  for (int i = 0; i < attempts; i++) {
    __u32 latch = *(volatile __u32*)&page->latch;
    *shown = *real;
    /* As tc_page_maps() and tc_page_table(), in one state for the verifier. */
    const char* copy = (const char*)page + (latch & TC_COPY_STRIDE);
    const struct tc_clock_map* maps =
        (const void*)(copy + __builtin_offsetof(struct tc_clock_page, maps0));
    const struct tc_clock_table* table =
        (const void*)(copy + __builtin_offsetof(struct tc_clock_page, table0));
    tc_map_apply(&maps[index], table, &shown->sec, &shown->nsec);
    barrier();
    if (*(volatile __u32*)&page->latch == latch) return true;
  }
  return false; /* with two attempts: nobody changes it so often */
}

#endif
