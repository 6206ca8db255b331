/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which system calls say how much is left of a wait or of a timer, by which clock, and where the
 * kernel has written that down. */
#ifndef TIME_CHAOS_BPF_WAIT_LEFT_H
#define TIME_CHAOS_BPF_WAIT_LEFT_H

#include "wait_clock.h"

#define ERESTART_RESTARTBLOCK 516 /* include/linux/errno.h */
#define STICKY_TIMEOUTS 0x4000000 /* include/uapi/linux/personality.h */
#define SETTINGS_AT_ONCE 1024     /* calls that are about to set a timer */

/* The clock of what is left of the setting that a thread is about to replace: when the kernel says
 * how much that was, the timer has forgotten. A call that fails leaves this behind. */
struct setting_before {
  __u64 timer;
  __u32 kind; /* of the call */
  __u32 clock;
};

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, SETTINGS_AT_ONCE);
  __type(key, __u32);
  __type(value, struct setting_before);
} tchaos_wbefore SEC(".maps");

static __always_inline void remember_setting(__u64 timer, __u32 kind, __u32 clock) {
  __u32 thread = bpf_get_current_pid_tgid();
  struct setting_before before = {timer, kind, clock};
  bpf_map_update_elem(&tchaos_wbefore, &thread, &before, BPF_ANY);
}

static __always_inline __u32 clock_before(__u64 timer, __u32 kind) {
  __u32 thread = bpf_get_current_pid_tgid();
  struct setting_before* before = bpf_map_lookup_elem(&tchaos_wbefore, &thread);
  if (!before || before->timer != timer || before->kind != kind) return NO_CLOCK;
  return before->clock;
}

/* Of a sleep that was interrupted. One that the kernel goes on with has the clock of the kernel's
 * own timer; but alarms have numbers of their own there (enum alarmtimer_type), of which
 * CLOCK_BOOTTIME_ALARM's is also CLOCK_MONOTONIC's, and is taken for that. */
static __always_inline void locate_sleep(struct task_struct* task, const struct arguments* of,
                                         struct wait* wait) {
  if (wait->kind == WAIT_CLOCK_NANOSLEEP) wait->clock = of->first;
  heed_length(wait);
  if (wait->kind == LEFT_RESTARTED) {
    wait->clock = BPF_CORE_READ(task, restart_block.nanosleep.clockid);
    if (wait->clock == CLOCK_REALTIME) wait->clock = CLOCK_REALTIME_ALARM;
  }
  wait->narrow = BPF_CORE_READ(task, restart_block.nanosleep.type) == TT_COMPAT;
  wait->at = (__u64)BPF_CORE_READ(task, restart_block.nanosleep.rmtp);
}

/* Did the kernel write it down? `result`: of the function that does so; poll_select_finish's tells
 * nothing, but what it has not written is 0, or is kept by this mark. */
static __always_inline bool is_written(struct task_struct* task, __u32 kind, long result) {
  switch (kind) {
    case WAIT_NANOSLEEP:
    case WAIT_CLOCK_NANOSLEEP:
    case LEFT_RESTARTED:
      return (int)result == -ERESTART_RESTARTBLOCK;
    case WAIT_RECEIVED:
      return (int)result > 0;
    case WAIT_THIRD:
    case WAIT_FIFTH:
      return !(BPF_CORE_READ(task, personality) & STICKY_TIMEOUTS);
  }
  return (int)result == 0;
}

/* False: nothing that a map could change. */
static __always_inline bool locate_left(struct task_struct* task, __u32 kind,
                                        const struct arguments* of, struct wait* wait) {
  wait->narrow = (kind & WAIT_NARROW) != 0;
  wait->kind = kind & ~WAIT_NARROW;
  wait->timer = wait->instant = false;
  wait->clock = CLOCK_MONOTONIC;
  wait->at = 0;
  switch (wait->kind) {
    case WAIT_NANOSLEEP:
    case WAIT_CLOCK_NANOSLEEP:
    case LEFT_RESTARTED:
      locate_sleep(task, of, wait);
      break;
    case LEFT_TIMER:
    case LEFT_TIMERFD:
      wait->timer = true;
      wait->clock = clock_of_left(wait->kind == LEFT_TIMER ? (__u32)tchaos_timer(of->first)
                                                           : timer_of_fd(of->first));
      wait->at = of->second;
      break;
    case WAIT_TIMER:
    case WAIT_TIMERFD:
      wait->timer = true;
      wait->clock = clock_before(of->first, wait->kind);
      wait->at = of->fourth;
      break;
    case WAIT_THIRD: /* ppoll */
      wait->at = of->third;
      break;
    case WAIT_FIFTH: /* pselect6 */
    case WAIT_RECEIVED:
      wait->at = of->fifth;
      break;
  }
  return wait->at != 0 && wait->clock < TC_CLOCK_COUNT;
}

#endif
