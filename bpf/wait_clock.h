/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* When the real clock gets where a target's clock shows what the target waits for. */
#ifndef TIME_CHAOS_BPF_WAIT_CLOCK_H
#define TIME_CHAOS_BPF_WAIT_CLOCK_H

#include "wait_call.h"

/* The formula, cut into subprograms. */
#define TC_OWN_WAYS
#define TC_UNSCALED(value, rate, up) tchaos_unscaled(value, rate, up)
#define TC_FIND_IN_ROUND(map, table, search) tchaos_look_through()
#define TC_FIND_ROUND(map, table, search) tchaos_find_round()
#define TC_UNJITTERED(table, t) tchaos_unjittered(t)
#define TC_SCHEDULE_REACHES(map, table, since, more) tchaos_reaches(since, more)
int64_t tchaos_unscaled(uint64_t value, int64_t rate, uint32_t up);
int tchaos_look_through(void);
int tchaos_find_round(void);
int64_t tchaos_unjittered(int64_t t);
int64_t tchaos_reaches(int64_t since, int64_t more);
#include "time_chaos/abi/clock_wait.h"

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
  struct reading now;
  struct reading instant;
  int64_t length;
  __u32 page, clock;
  __u64 copy; /* of the maps and of the table, in the page */
  struct tc_search search;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct question);
} tchaos_question SEC(".maps");

static __always_inline struct question* the_question(void) {
  __u32 zero = 0;
  return bpf_map_lookup_elem(&tchaos_question, &zero);
}

/* What it is about; null: of no page. As in map_reading(). */
static __always_inline const char* copy_of(const struct question* question) {
  __u32 number = question->page;
  const char* page = bpf_map_lookup_elem(&tchaos_pages, &number);
  return page ? page + (question->copy & TC_COPY_STRIDE) : 0;
}

static __always_inline const struct tc_clock_map* map_in(const char* copy, __u32 clock) {
  __u64 index = clock & 15;
  barrier_var(index); /* checked in the register that is used, so that the verifier sees it */
  if (index >= TC_CLOCK_COUNT) return 0;
  return (const struct tc_clock_map*)(copy + __builtin_offsetof(struct tc_clock_page, maps0)) +
         index;
}

static __always_inline const struct tc_clock_table* table_in(const char* copy) {
  return (const void*)(copy + __builtin_offsetof(struct tc_clock_page, table0));
}

/* The beginning of a subprogram. */
#define ASKED(question, map, table)                                          \
  struct question* question = the_question();                                \
  const char* copy = question ? copy_of(question) : 0;                       \
  const struct tc_clock_map* map = copy ? map_in(copy, question->clock) : 0; \
  if (!map) return 0;                                                        \
  const struct tc_clock_table* table = table_in(copy)

__attribute__((noinline)) int64_t tchaos_unscaled(uint64_t value, int64_t rate, uint32_t up) {
  return tc_unscaled(value, rate, up);
}

__attribute__((noinline)) int64_t tchaos_unjittered(int64_t t) {
  ASKED(question, map, table);
  return tc_unjittered(table, t);
}

/* One segment. */
__attribute__((noinline)) int tchaos_look(__u32 number) {
  ASKED(question, map, table);
  /* Masked, because 6.12's verifier gets lost over numbers that it takes for related. */
  __u64 i = number & 15, next = (number + 1) & 15;
  barrier_var(i);
  barrier_var(next);
  if (i >= TC_SEGMENT_COUNT) return 0;
  __u64 ends = TC_NO_SEGMENT;
  if (next < TC_SEGMENT_COUNT) ends = table->segments[next].at;
  tc_look_at_segment(map, table, &table->segments[i], ends, &question->search);
  return question->search.found.found;
}

__attribute__((noinline)) int tchaos_look_through(void) {
  struct question* question = the_question();
  if (!question) return 0;
  tc_nothing_found(&question->search.found);
#pragma nounroll
  for (__u32 i = 0; i < TC_SEGMENT_COUNT; i++) {
    if (tchaos_look(i)) break;
  }
  return 0;
}

__attribute__((noinline)) int tchaos_find_round(void) {
  ASKED(question, map, table);
  return tc_find_round(map, table, &question->search);
}

__attribute__((noinline)) int64_t tchaos_reaches(int64_t since, int64_t more) {
  ASKED(question, map, table);
  return tc_schedule_reaches(map, table, since, more, &question->search);
}

/* Makes of the length of a wait the reading of the target's clock at its end. */
__attribute__((noinline)) int tchaos_ends(void) {
  ASKED(question, map, table);
  struct reading end;
  tc_wait_ends(map, table, question->now.sec, question->now.nsec, question->length, &end.sec,
               &end.nsec);
  question->instant = end;
  return 0;
}

/* Replaces a reading of the target's clock by one of the real clock; 0: none is in sight. */
__attribute__((noinline)) int tchaos_invert(void) {
  ASKED(question, map, table);
  struct reading instant = question->instant;
  bool in_sight = tc_map_deadline(map, table, question->now.sec, question->now.nsec, &instant.sec,
                                  &instant.nsec);
  question->instant = instant;
  return in_sight;
}

static __always_inline __u32 latch_of(__u32 number) {
  struct tc_clock_page* page = bpf_map_lookup_elem(&tchaos_pages, &number);
  return page ? *(volatile __u32*)&page->latch : 0;
}

/* enum tc_map_kind */
static __always_inline __u32 kind_of(__u32 number, __u32 clock) {
  const char* page = bpf_map_lookup_elem(&tchaos_pages, &number);
  if (!page) return TC_MAP_OFFSET;
  const struct tc_clock_map* map = map_in(page + (latch_of(number) & TC_COPY_STRIDE), clock);
  return map ? map->kind : TC_MAP_OFFSET;
}

static __always_inline struct question* ask_about(__u32 page, __u32 clock) {
  struct question* question = the_question();
  if (!question) return 0;
  read_now(clock, &question->now);
  question->page = page;
  question->clock = clock;
  return question;
}

/* Replaces an instant of the target's clock by one of the real clock that is not 0, which would
 * switch a timer off. False: the map changes all the time. */
static __always_inline bool invert(__u32 page, __u32 clock, struct reading* instant) {
  struct question* question = ask_about(page, clock);
  if (!question) return false;
  for (int attempt = 0; attempt < 2; attempt++) {
    question->copy = latch_of(page);
    question->instant = *instant;
    tchaos_invert();
    if (latch_of(page) != (__u32)question->copy) continue;
    *instant = question->instant;
    if (instant->sec < 0) instant->sec = instant->nsec = 0;
    if (instant->sec == 0 && instant->nsec == 0) instant->nsec = 1;
    return true;
  }
  return false;
}

/* As tc_map_wait(), of the question's length, which is not 0. Where no end is in sight, on a clock
 * that stands still, the length stays real: nobody would end that wait when the clock goes on. */
__attribute__((noinline)) int tchaos_length(__u32 page, __u32 clock) {
  struct question* question = ask_about(page, clock);
  if (!question) return 0;
  for (int attempt = 0; attempt < 2; attempt++) {
    question->copy = latch_of(page);
    tchaos_ends();
    bool in_sight = tchaos_invert();
    if (latch_of(page) != (__u32)question->copy) continue;
    if (!in_sight) return 1;
    int64_t real = tc_wait_takes(true, question->now.sec, question->now.nsec, question->instant.sec,
                                 question->instant.nsec);
    question->length = real < 1 ? 1 : real;
    return 1;
  }
  return 0;
}

/* Replaces a length of the target's time that is not 0 by one of real time. */
static __always_inline bool invert_length(__u32 page, __u32 clock, struct reading* length) {
  struct question* question = the_question();
  if (!question) return false;
  question->length =
      length->sec > TC_LAST_SEC ? TC_ENDLESS : length->sec * TC_NSEC_PER_SEC + length->nsec;
  if (!tchaos_length(page, clock)) return false;
  if (length->sec > TC_LAST_SEC) return true;
  length->sec = (__u64)question->length / TC_NSEC_PER_SEC;
  length->nsec = (__u64)question->length % TC_NSEC_PER_SEC;
  return true;
}

/* Replaces a reading of the real clock by what the target's shows. */
__attribute__((noinline)) int tchaos_show(void) {
  ASKED(question, map, table);
  struct reading instant = question->instant;
  tc_map_apply(map, table, &instant.sec, &instant.nsec);
  question->instant = instant;
  return 0;
}

/* As tc_map_passed(), of the question's length, real time from now on, which is not 0. Where
 * nothing passes the clock stands still, and the length stays real, as it was when the wait began;
 * or it goes back on a schedule, and what ends while it does so is about to end. */
__attribute__((noinline)) int tchaos_passed(__u32 page, __u32 clock) {
  struct question* question = ask_about(page, clock);
  if (!question) return 0;
  struct reading end = question->now;
  tc_add_nsec(&end.sec, &end.nsec, question->length);
  for (int attempt = 0; attempt < 2; attempt++) {
    question->copy = latch_of(page);
    question->instant = question->now;
    tchaos_show();
    struct reading from = question->instant;
    question->instant = end;
    tchaos_show();
    if (latch_of(page) != (__u32)question->copy) continue;
    int64_t passed = tc_between(from.sec, from.nsec, question->instant.sec, question->instant.nsec);
    if (passed < 1 && kind_of(page, clock) != TC_MAP_SCHEDULE) return 0;
    question->length = passed < 1 ? 1 : passed;
    return 1;
  }
  return 0;
}

/* Replaces a length of real time that is not 0 by one of the target's. False: it stays. */
static __always_inline bool show_length(__u32 page, __u32 clock, struct reading* length) {
  struct question* question = the_question();
  if (!question || length->sec > TC_LAST_SEC) return false;
  question->length = length->sec * TC_NSEC_PER_SEC + length->nsec;
  if (!tchaos_passed(page, clock)) return false;
  length->sec = (__u64)question->length / TC_NSEC_PER_SEC;
  length->nsec = (__u64)question->length % TC_NSEC_PER_SEC;
  return true;
}
#endif
