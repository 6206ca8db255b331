/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* The formula's inverse: when does the real clock read what a target waits for?
 *
 * For deadlines (absolute), which the kernel keeps in real time, and for waits of a length, which
 * pass at the rate of their clock. Plain C, freestanding, no signed division and no 128-bit type,
 * like clock_map.h, whose ranges hold here too. A map's expiry is not looked for: whoever ends a
 * map begins its waits anew, and a lease that is renewed must not end one early. */
#ifndef TIME_CHAOS_ABI_CLOCK_WAIT_H
#define TIME_CHAOS_ABI_CLOCK_WAIT_H

#include "time_chaos/abi/clock_map.h"

#ifdef __cplusplus
extern "C" {
#else
#include <stdbool.h>
#endif

/* BPF, whose verifier cannot follow all of this at once, puts calls of its own in their places. */
#ifndef TC_OWN_WAYS
#define TC_UNSCALED tc_unscaled
#define TC_FIND_IN_ROUND tc_find_in_round
#define TC_FIND_ROUND tc_find_round
#define TC_UNJITTERED tc_unjittered
#define TC_SCHEDULE_REACHES tc_schedule_reaches_here
#endif

/* "No end in sight", in nanoseconds. */
#define TC_ENDLESS INT64_MAX

/* An instant, in the real readings of one clock. */
struct tc_instant {
  int64_t sec, nsec; /* nsec in [0, 1e9) */
};

/* value * 2^32 / rate, rounded up or down; TC_ENDLESS if it does not fit. value >= 0, rate in (0,
 * 2^60), else TC_ENDLESS. Without branches that a verifier would follow 2^32 times. */
TC_INLINE int64_t tc_unscaled(uint64_t value, int64_t rate, bool up) {
  uint64_t divisor = (uint64_t)rate;
  if (rate <= 0 || divisor >> 60) return TC_ENDLESS;
  uint64_t quotient = value / divisor;
  uint64_t rest = value % divisor;
  if (quotient >> 31) return TC_ENDLESS;
  for (int i = 0; i < 32; i++) {
    uint64_t less = (rest << 1) - divisor;
    uint64_t borrowed = (uint64_t)((int64_t)less >> 63); /* all ones: it did not go in */
    rest = less + (divisor & borrowed);
    quotient = (quotient << 1) + 1 + borrowed;
  }
  uint64_t rounded = quotient + (up && rest != 0);
  return rounded >> 63 ? TC_ENDLESS : (int64_t)rounded;
}

/* a - b, wrapping. */
TC_INLINE int64_t tc_sub(int64_t a, int64_t b) {
  return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* (to - from) in nanoseconds; what leaves 64 bits stands at their end. */
TC_INLINE int64_t tc_between(int64_t from_sec, int64_t from_nsec, int64_t to_sec, int64_t to_nsec) {
  int64_t seconds = tc_sub(to_sec, from_sec);
  if (seconds > TC_LAST_SEC) return TC_ENDLESS;
  if (seconds < -TC_LAST_SEC) return -TC_ENDLESS;
  return tc_add(seconds * TC_NSEC_PER_SEC, tc_sub(to_nsec, from_nsec));
}

/* Adds nanoseconds. */
TC_INLINE void tc_add_nsec(int64_t* sec, int64_t* nsec, int64_t more) {
  int64_t whole = tc_mul_high(more, TC_RATE_ONE_SEC); /* see tc_apply_rate() */
  uint64_t beside = (uint64_t)more - (uint64_t)whole * (uint64_t)TC_NSEC_PER_SEC;
  *nsec = tc_add(*nsec, (int64_t)beside);
  *sec = tc_add(*sec, whole);
  tc_normalise(sec, nsec);
}

/* Where, so long after the anchor, a clock that shows `rate` (in front of the anchor: `before`) has
 * `more` on it, which is more or less than at the anchor. `since`: how late it is now. */
TC_INLINE int64_t tc_rate_reaches(const struct tc_clock_map* map, int64_t since, int64_t more) {
  int64_t rate = since < 0 ? map->before : map->rate;
  if (rate <= 0 && tc_scaled(since, rate) >= more) return since; /* it shows it now, if ever */
  if (rate <= 0 && since >= 0) return TC_ENDLESS;
  if (more < 0 && map->before > 0) return -TC_UNSCALED(0 - (uint64_t)more, map->before, false);
  if (more <= 0) return 0;
  return TC_UNSCALED((uint64_t)more, map->rate, true);
}

/* Where a schedule is within one of its rounds. */
struct tc_round {
  uint64_t number;
  uint64_t from; /* t, as in the first round */
};

/* What tc_find_in_round() has found out. */
struct tc_found {
  bool found;
  bool seen;       /* `highest` is of a segment */
  int64_t within;  /* it is reached so many nanoseconds from there at the latest */
  uint64_t at;     /* where the segment begins, or the round was begun: t as in the first round */
  uint64_t more;   /* what is still missing there */
  int64_t slope;   /* at what rate it comes */
  int64_t highest; /* not found: what is reached in the repeated part, and where */
  uint64_t highest_at;
  uint64_t highest_begins;
  int64_t highest_base, highest_rate;
};

/* What is looked for, and what was found so far. */
struct tc_search {
  struct tc_round round;
  int64_t more;
  struct tc_found found;
};

/* What a segment shows at `in_round`, in round `number`: as tc_scheduled(). */
TC_INLINE int64_t tc_segment_value(const struct tc_clock_map* map,
                                   const struct tc_clock_table* table, uint64_t number,
                                   uint64_t in_round, uint64_t begins, int64_t base, int64_t rate) {
  uint64_t sum = number * (uint64_t)table->gain + (uint64_t)base;
  uint64_t at = in_round + number * table->period;
  sum += tc_scaled_sum((int64_t)at, map->rate, (int64_t)(in_round - begins), rate);
  return (int64_t)sum;
}

/* Before a round is looked through. */
TC_INLINE void tc_nothing_found(struct tc_found* result) {
  result->found = result->seen = false;
  result->within = 0;
  result->at = result->more = result->highest_at = result->highest_begins = 0;
  result->slope = result->highest_base = result->highest_rate = 0;
  result->highest = INT64_MIN;
}

/* A segment that ends where the next one begins, in what is left of a round. */
TC_INLINE void tc_look_at_segment(const struct tc_clock_map* map,
                                  const struct tc_clock_table* table,
                                  const struct tc_segment* segment, uint64_t ends,
                                  struct tc_search* search) {
  const struct tc_round* round = &search->round;
  struct tc_found* result = &search->found;
  int64_t more = search->more;
  uint64_t end_of_round = table->period ? table->loop_at + table->period : table->horizon + 1;
  uint64_t begins = segment->at;
  int64_t base = segment->base, rate = segment->rate;
  if (ends > end_of_round) ends = end_of_round;
  uint64_t from = begins > round->from ? begins : round->from;
  if (from >= ends) return;
  int64_t first = tc_segment_value(map, table, round->number, from, begins, base, rate);
  int64_t last = tc_segment_value(map, table, round->number, ends - 1, begins, base, rate);
  if (first >= more || last >= more) {
    result->found = true;
    result->at = from;
    result->within = (int64_t)(ends - 1 - from);
    result->more = first >= more ? 0 : (uint64_t)more - (uint64_t)first;
    result->slope = tc_add(map->rate, rate);
    return;
  }
  int64_t higher = first > last ? first : last;
  if (ends <= table->loop_at || (result->seen && higher <= result->highest)) return;
  result->seen = true;
  result->highest = higher;
  result->highest_at = first > last ? from : ends - 1;
  result->highest_begins = begins;
  result->highest_base = base;
  result->highest_rate = rate;
}

/* The first place in the rest of the round at which `more` is shown. */
TC_INLINE void tc_find_in_round(const struct tc_clock_map* map, const struct tc_clock_table* table,
                                struct tc_search* search) {
  tc_nothing_found(&search->found);
  for (int i = 0; i < TC_SEGMENT_COUNT && !search->found.found; i++) {
    uint64_t ends = i + 1 < TC_SEGMENT_COUNT ? table->segments[i + 1].at : TC_NO_SEGMENT;
    tc_look_at_segment(map, table, &table->segments[i], ends, search);
  }
}

/* The round, one of those that are still to come, that gets as far as `more`. False: none. */
TC_INLINE bool tc_find_round(const struct tc_clock_map* map, const struct tc_clock_table* table,
                             struct tc_search* search) {
  const struct tc_found* seen = &search->found;
  struct tc_round* round = &search->round;
  int64_t more = search->more;
  int64_t gain = tc_add(table->gain, tc_scaled((int64_t)table->period, map->rate));
  if (table->period == 0 || gain <= 0) return false;
  uint64_t missing = (uint64_t)more - (uint64_t)seen->highest;
  uint64_t rounds = missing / (uint64_t)gain;
  /* A round gains up to a nanosecond more than that: what is too much of it comes off again, and
   * the estimate that was too small by rounding gets one more. */
  for (int i = 0; i < 8; i++) {
    int64_t reached =
        tc_segment_value(map, table, round->number + rounds, seen->highest_at, seen->highest_begins,
                         seen->highest_base, seen->highest_rate);
    uint64_t over = reached > more ? (uint64_t)reached - (uint64_t)more : 0;
    rounds -= over / ((uint64_t)gain + 1);
    if (rounds == 0 || reached < more) rounds++;
  }
  round->number += rounds;
  round->from = table->loop_at;
  return true;
}

/* `t` without its jitter: how long after the anchor it is t. Never too early. */
TC_INLINE int64_t tc_unjittered(const struct tc_clock_table* table, int64_t t) {
  if (t < 0 || (table->jitter_shift & 63) == 0) return t;
  int64_t since = t;
  for (int i = 0; i < 4; i++) since = tc_add(since, tc_sub(t, tc_jittered(table, since)));
  int64_t latest = tc_add(t, (table->jitter_span >> 1) + 1);
  return tc_jittered(table, since) < t ? latest : since;
}

/* Searches from `now` on, a t. */
TC_INLINE bool tc_find_from(const struct tc_clock_map* map, const struct tc_clock_table* table,
                            uint64_t now, struct tc_search* search) {
  struct tc_round* round = &search->round;
  round->number = 0;
  round->from = now;
  if (table->period != 0 && now >= table->loop_at) {
    round->number = (now - table->loop_at) / table->period;
    round->from -= round->number * table->period;
  }
  TC_FIND_IN_ROUND(map, table, search);
  if (search->found.found) return true;
  if (table->period == 0) return false;
  /* A round that was begun in the middle does not tell how far a whole one gets. */
  round->number++;
  round->from = table->loop_at;
  TC_FIND_IN_ROUND(map, table, search);
  if (search->found.found) return true;
  if (!TC_FIND_ROUND(map, table, search)) return false;
  TC_FIND_IN_ROUND(map, table, search);
  return search->found.found;
}

/* As tc_rate_reaches(), on a schedule. */
TC_INLINE int64_t tc_schedule_reaches(const struct tc_clock_map* map,
                                      const struct tc_clock_table* table, int64_t since,
                                      int64_t more, struct tc_search* search) {
  int64_t t = tc_jittered(table, since);
  if (t < 0 && more < 0) return tc_rate_reaches(map, since, more);
  uint64_t now = t < 0 ? 0 : (uint64_t)t;
  if (now > table->horizon) now = table->horizon;
  search->more = more;
  if (!tc_find_from(map, table, now, search)) return TC_ENDLESS;
  const struct tc_found* found = &search->found;
  int64_t step = found->more ? TC_UNSCALED(found->more, found->slope, true) : 0;
  /* Rounded apart, its parts may seem to get there only behind the segment's end. */
  if (step > found->within) step = found->within;
  uint64_t at = found->at + (uint64_t)step + search->round.number * table->period;
  if (at > table->horizon) return TC_ENDLESS;
  int64_t reaches = t >= 0 && at == now ? since : TC_UNJITTERED(table, (int64_t)at);
  return reaches < since ? since : reaches;
}

TC_INLINE int64_t tc_schedule_reaches_here(const struct tc_clock_map* map,
                                           const struct tc_clock_table* table, int64_t since,
                                           int64_t more) {
  struct tc_search search;
  return tc_schedule_reaches(map, table, since, more, &search);
}

/* Replaces a reading of the target's clock by a reading of the real one: the first from `now` on at
 * which the target's clock shows as much or more. One that lies behind stays behind, where a map
 * allows it. False: none is in sight (time stands still), and the reading is the last that a clock
 * has. nsec in [0, 1e9) before and after. */
TC_INLINE bool tc_map_deadline(const struct tc_clock_map* map, const struct tc_clock_table* table,
                               int64_t now_sec, int64_t now_nsec, int64_t* sec, int64_t* nsec) {
  bool over =
      now_sec > map->until_sec || (now_sec == map->until_sec && now_nsec >= map->until_nsec);
  bool in_sight = *sec <= TC_LAST_SEC;
  if (!in_sight) {
    /* "For ever", in every way in which programs say it. */
  } else if (over || map->kind == TC_MAP_OFFSET) {
    *sec = tc_sub(*sec, over ? map->after_sec : map->fake_sec);
    *nsec = tc_sub(*nsec, over ? map->after_nsec : map->fake_nsec);
    tc_normalise(sec, nsec);
    in_sight = *sec <= TC_LAST_SEC;
  } else {
    int64_t since = tc_since_anchor(map, now_sec, now_nsec);
    int64_t more = tc_between(map->fake_sec, map->fake_nsec, *sec, *nsec);
    int64_t at = map->kind == TC_MAP_SCHEDULE ? TC_SCHEDULE_REACHES(map, table, since, more)
                                              : tc_rate_reaches(map, since, more);
    *sec = map->real_sec;
    *nsec = map->real_nsec;
    tc_add_nsec(sec, nsec, at);
    in_sight = at != TC_ENDLESS && *sec <= TC_LAST_SEC;
  }
  if (in_sight) return true;
  *sec = TC_LAST_SEC;
  *nsec = 0;
  return false;
}

/* The reading of the target's clock at which a wait of `wait` nanoseconds (>= 0) ends that begins
 * when the real clock reads `now`. */
TC_INLINE void tc_wait_ends(const struct tc_clock_map* map, const struct tc_clock_table* table,
                            int64_t now_sec, int64_t now_nsec, int64_t wait, int64_t* sec,
                            int64_t* nsec) {
  *sec = now_sec;
  *nsec = now_nsec;
  tc_map_apply(map, table, sec, nsec);
  tc_add_nsec(sec, nsec, wait);
}

/* How long that takes if tc_map_deadline() has made `sec`, `nsec` of it. */
TC_INLINE int64_t tc_wait_takes(bool in_sight, int64_t now_sec, int64_t now_nsec, int64_t sec,
                                int64_t nsec) {
  int64_t real = tc_between(now_sec, now_nsec, sec, nsec);
  return !in_sight ? TC_ENDLESS : real < 0 ? 0 : real;
}

/* How many nanoseconds a wait of `wait` nanoseconds (>= 0) of the target's time takes that begins
 * when the real clock reads `now`: 0 only if it was 0. TC_ENDLESS: no end is in sight. */
TC_INLINE int64_t tc_map_wait(const struct tc_clock_map* map, const struct tc_clock_table* table,
                              int64_t now_sec, int64_t now_nsec, int64_t wait) {
  int64_t sec, nsec;
  if (map->kind == TC_MAP_OFFSET) return wait;
  tc_wait_ends(map, table, now_sec, now_nsec, wait, &sec, &nsec);
  bool in_sight = tc_map_deadline(map, table, now_sec, now_nsec, &sec, &nsec);
  return tc_wait_takes(in_sight, now_sec, now_nsec, sec, nsec);
}

/* How many nanoseconds of the target's time pass in `real` nanoseconds (>= 0) from `now` on. */
TC_INLINE int64_t tc_map_passed(const struct tc_clock_map* map, const struct tc_clock_table* table,
                                int64_t now_sec, int64_t now_nsec, int64_t real) {
  if (map->kind == TC_MAP_OFFSET) return real;
  int64_t from_sec = now_sec, from_nsec = now_nsec, to_sec = now_sec, to_nsec = now_nsec;
  tc_add_nsec(&to_sec, &to_nsec, real);
  tc_map_apply(map, table, &from_sec, &from_nsec);
  tc_map_apply(map, table, &to_sec, &to_nsec);
  int64_t passed = tc_between(from_sec, from_nsec, to_sec, to_nsec);
  return passed < 0 ? 0 : passed;
}

#ifdef __cplusplus
}
#endif
#endif
