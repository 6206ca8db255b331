/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The instant of the real clock at which a target's clock shows what the target waits for. */
#ifndef TIME_CHAOS_BPF_WAIT_CLOCK_H
#define TIME_CHAOS_BPF_WAIT_CLOCK_H

/* What else it includes comes first; see look_through(). */
#include "time_chaos/abi/clock_map.h"
#define TC_FIND_IN_ROUND(map, table, round, more, found) look_through(round, more, found)
struct tc_round;
struct tc_found;
static __attribute__((always_inline)) inline void look_through(const struct tc_round* round,
                                                               int64_t more,
                                                               struct tc_found* found);
#include "time_chaos/abi/clock_wait.h"
#include "wait_call.h"

/* How far the real clocks are ahead of CLOCK_MONOTONIC, as each processor's timers go by it. BTF
 * knows this variable from 6.1 on; elsewhere the agent says what it was at the start. */
extern const struct hrtimer_cpu_base hrtimer_bases __ksym __weak;
__s64 tchaos_realtime_ahead = 0;
__s64 tchaos_tai_ahead = 0;

static __always_inline __s64 realtime_ahead(bool tai) {
  __s64 ahead = 0;
  if (!&hrtimer_bases) {
    ahead = tai ? *(volatile __s64*)&tchaos_tai_ahead : *(volatile __s64*)&tchaos_realtime_ahead;
    barrier_var(ahead); /* one instruction must not load from the one place or from the other */
    return ahead;
  }
  const struct hrtimer_cpu_base* bases = bpf_this_cpu_ptr(&hrtimer_bases);
  __u64 at = bpf_core_field_offset(struct hrtimer_cpu_base, clock_base) +
             (tai ? HRTIMER_BASE_TAI : HRTIMER_BASE_REALTIME) *
                 bpf_core_type_size(struct hrtimer_clock_base) +
             bpf_core_field_offset(struct hrtimer_clock_base, offset);
  bpf_probe_read_kernel(&ahead, sizeof ahead, (const char*)bases + at);
  return ahead;
}

/* What the clock reads now, unshifted. */
static __always_inline void read_now(__u32 clock, struct reading* now) {
  __u64 nsec;
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_ALARM:
      nsec = bpf_ktime_get_ns() + realtime_ahead(false);
      break;
    case CLOCK_TAI:
      nsec = bpf_ktime_get_ns() + realtime_ahead(true);
      break;
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
      nsec = bpf_ktime_get_boot_ns();
      break;
    default:
      nsec = bpf_ktime_get_ns();
  }
  now->sec = nsec / TC_NSEC_PER_SEC;
  now->nsec = nsec % TC_NSEC_PER_SEC;
}

/* What the subprograms below are asked, and what they answer: 5.10 gives them numbers only.
 * Programs here are not preempted: the question is ours. */
struct question {
  struct reading now, instant;
  __u32 page, clock;
  __u64 copy; /* of the maps and of the table, in the page */
  int64_t more;
  struct tc_round round;
  struct tc_found found;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct question);
} tchaos_question SEC(".maps");

/* As in map_reading(). */
static __always_inline const struct tc_clock_map* maps_in(const struct tc_clock_page* page,
                                                          __u64 copy) {
  return (const void*)((const char*)page + (copy & TC_COPY_STRIDE) +
                       __builtin_offsetof(struct tc_clock_page, maps0));
}

static __always_inline const struct tc_clock_table* table_in(const struct tc_clock_page* page,
                                                             __u64 copy) {
  return (const void*)((const char*)page + (copy & TC_COPY_STRIDE) +
                       __builtin_offsetof(struct tc_clock_page, table0));
}

/* One segment. The verifier looks once at what is no part of its caller. */
__attribute__((noinline)) int tchaos_look(__u32 number) {
  __u32 zero = 0;
  struct question* question = bpf_map_lookup_elem(&tchaos_question, &zero);
  if (!question || question->found.found) return 0;
  struct tc_clock_page* page = bpf_map_lookup_elem(&tchaos_pages, &question->page);
  /* Masked, because 6.12's verifier gets lost over numbers that it takes for related. */
  __u64 index = question->clock, i = number & 15, next = (number + 1) & 15;
  barrier_var(index);
  barrier_var(i);
  barrier_var(next);
  if (!page || index >= TC_CLOCK_COUNT || i >= TC_SEGMENT_COUNT) return 0;
  const struct tc_clock_table* table = table_in(page, question->copy);
  __u64 ends = TC_NO_SEGMENT;
  if (next < TC_SEGMENT_COUNT) ends = table->segments[next].at;
  tc_look_at_segment(&maps_in(page, question->copy)[index], table, &question->round, question->more,
                     &table->segments[i], ends, &question->found);
  return 0;
}

static __always_inline void look_through(const struct tc_round* round, int64_t more,
                                         struct tc_found* found) {
  __u32 zero = 0;
  struct question* question = bpf_map_lookup_elem(&tchaos_question, &zero);
  tc_nothing_found(found);
  if (!question) return;
  question->round = *round;
  question->more = more;
  question->found = *found;
#pragma nounroll
  for (__u32 i = 0; i < TC_SEGMENT_COUNT; i++) tchaos_look(i);
  *found = question->found;
}

/* 0: the map changed meanwhile. */
__attribute__((noinline)) int tchaos_invert(__u32 number, __u32 clock) {
  __u32 zero = 0;
  struct tc_clock_page* page = bpf_map_lookup_elem(&tchaos_pages, &number);
  struct question* question = bpf_map_lookup_elem(&tchaos_question, &zero);
  __u64 index = clock;
  barrier_var(index);
  if (!page || !question || index >= TC_CLOCK_COUNT) return 0;
  __u32 latch = *(volatile __u32*)&page->latch;
  question->page = number;
  question->clock = clock;
  question->copy = latch;
  struct reading instant = question->instant;
  tc_map_deadline(&maps_in(page, latch)[index], table_in(page, latch), question->now.sec,
                  question->now.nsec, &instant.sec, &instant.nsec);
  barrier();
  if (*(volatile __u32*)&page->latch != latch) return 0;
  question->instant = instant;
  return 1;
}

/* Replaces an instant of the target's clock by one of the real clock that is not 0, which would
 * switch a timer off. */
static __always_inline bool invert(const struct tc_bpf_target* target, __u32 clock,
                                   struct reading* instant) {
  __u32 zero = 0;
  struct question* question = bpf_map_lookup_elem(&tchaos_question, &zero);
  if (!question) return false;
  read_now(clock, &question->now);
  question->instant = *instant;
  if (!tchaos_invert(target->page, clock) && !tchaos_invert(target->page, clock)) return false;
  *instant = question->instant;
  if (instant->sec < 0) instant->sec = instant->nsec = 0;
  if (instant->sec == 0 && instant->nsec == 0) instant->nsec = 1;
  return true;
}

#endif
