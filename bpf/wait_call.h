/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which system calls wait, by which clock, until an instant or for a length of time, and where the
 * caller has written that down. */
#ifndef TIME_CHAOS_BPF_WAIT_CALL_H
#define TIME_CHAOS_BPF_WAIT_CALL_H

#include "reading.h"
#include "wait_number.h"

/* include/uapi/linux/time.h, timerfd.h, futex.h, ipc.h */
#define CLOCK_MONOTONIC 1
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9
#define CLOCK_TAI 11
#define ABSTIME 1 /* of clock_nanosleep, of timers and of timerfds alike */
#define FUTEX_WAIT 0
#define FUTEX_LOCK_PI 6
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAIT_REQUEUE_PI 11
#define FUTEX_LOCK_PI2 13
#define FUTEX_COMMAND 0x7f
#define FUTEX_CLOCK_REALTIME 256
#define SEMTIMEDOP 4

struct wait {
  __u64 at; /* a struct timespec of the caller's, or an itimerspec; 0: it waits for ever */
  __u32 clock;
  __u32 kind; /* enum wait_kind */
  /* These say yes or no. */
  __u32 narrow;  /* 32-bit fields */
  __u32 timer;   /* struct itimerspec */
  __u32 instant; /* until then, and not for so long */
  __u32 left;    /* of a timer: the clock of what is left of its setting so far; else NO_CLOCK */
};

/* A clock that nobody has. */
#define NO_CLOCK TC_CLOCK_COUNT

static __always_inline void futex_wait(__u32 operation, struct wait* wait) {
  wait->clock = operation & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  wait->instant = true;
  switch (operation & FUTEX_COMMAND) {
    case FUTEX_WAIT:
      wait->instant = false;
      break;
    case FUTEX_LOCK_PI:
      wait->clock = CLOCK_REALTIME;
      break;
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_LOCK_PI2:
      break;
    default:
      wait->clock = NO_CLOCK;
  }
}

/* Besides a timer's clock: what it is set to now is an instant. */
#define SET_TO_INSTANT 16

static __always_inline __u32 clock_in(__u32 timer) {
  return timer & ~SET_TO_INSTANT;
}

/* What is left of a length passes as heed_length() says. */
static __always_inline __u32 clock_of_left(__u32 timer) {
  return timer == CLOCK_REALTIME ? CLOCK_MONOTONIC : clock_in(timer);
}

/* If it is no timerfd, the call fails anyhow. */
static __always_inline __u32 timer_of_fd(__u32 fd) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct fdtable* table = BPF_CORE_READ(task, files, fdt);
  if (fd >= BPF_CORE_READ(table, max_fds)) return NO_CLOCK;
  struct file** files = BPF_CORE_READ(table, fd);
  struct file* file = 0;
  if (bpf_probe_read_kernel(&file, sizeof file, files + fd) || !file) return NO_CLOCK;
  struct timerfd_ctx* timer = BPF_CORE_READ(file, private_data);
  if (!timer) return NO_CLOCK;
  bool instant = BPF_CORE_READ(timer, settime_flags) & ABSTIME;
  return (__u32)BPF_CORE_READ(timer, clockid) | (instant ? SET_TO_INSTANT : 0);
}

#define TIMERS_MOST 128 /* of a process, of those that it made last */

/* The kernel's list of a process's timers: a ring that goes through its head, or, from 6.11 on,
 * one with an end. */
__attribute__((noinline)) int tchaos_timer(__s32 id) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  char* head = (char*)BPF_CORE_READ(task, signal);
  head += bpf_core_field_offset(struct signal_struct, posix_timers);
  char* node = head;
#pragma nounroll
  for (int i = 0; i < TIMERS_MOST; i++) {
    if (bpf_probe_read_kernel(&node, sizeof node, node) || !node || node == head) return NO_CLOCK;
    struct k_itimer* timer = (void*)(node - bpf_core_field_offset(struct k_itimer, list));
    if (BPF_CORE_READ(timer, it_id) != id) continue;
    /* The kernel has those of CLOCK_REALTIME that are set to a length go by CLOCK_MONOTONIC, which
     * nobody sets (common_hrtimer_arm, kernel/time/posix-timers.c). */
    bool instant = BPF_CORE_READ(timer, kclock, clock_set) != 0;
    return BPF_CORE_READ(timer, it_clock) | (instant ? SET_TO_INSTANT : 0);
  }
  return NO_CLOCK;
}

struct arguments {
  __u64 first, second, third, fourth, fifth, sixth;
};

static __always_inline void read_arguments(const struct pt_regs* regs, bool ia32,
                                           struct arguments* of) {
  if (ia32) {
    of->first = (__u32)BPF_CORE_READ(regs, bx);
    of->second = (__u32)BPF_CORE_READ(regs, cx);
    of->third = (__u32)BPF_CORE_READ(regs, dx);
    of->fourth = (__u32)BPF_CORE_READ(regs, si);
    of->fifth = (__u32)BPF_CORE_READ(regs, di);
    of->sixth = (__u32)BPF_CORE_READ(regs, bp);
  } else {
    of->first = BPF_CORE_READ(regs, di);
    of->second = BPF_CORE_READ(regs, si);
    of->third = BPF_CORE_READ(regs, dx);
    of->fourth = BPF_CORE_READ(regs, r10);
    of->fifth = BPF_CORE_READ(regs, r8);
    of->sixth = BPF_CORE_READ(regs, r9);
  }
}

/* A length of CLOCK_REALTIME passes as CLOCK_MONOTONIC does. */
static __always_inline void heed_length(struct wait* wait) {
  if (!wait->instant && wait->clock == CLOCK_REALTIME) wait->clock = CLOCK_MONOTONIC;
}

/* False: it waits for nothing that a map could change. */
static __always_inline bool locate_wait(__u32 kind, const struct arguments* of, struct wait* wait) {
  __u32 timer;
  wait->narrow = (kind & WAIT_NARROW) != 0;
  wait->timer = wait->instant = false;
  wait->left = NO_CLOCK;
  wait->kind = kind & ~WAIT_NARROW;
  wait->clock = CLOCK_MONOTONIC;
  wait->at = 0;
  switch (wait->kind) {
    case WAIT_NANOSLEEP:
      wait->at = of->first;
      break;
    case WAIT_CLOCK_NANOSLEEP:
      wait->instant = of->second & ABSTIME;
      wait->clock = of->first;
      wait->at = of->third;
      break;
    case WAIT_FUTEX:
      futex_wait(of->second, wait);
      wait->at = of->fourth;
      break;
    case WAIT_FUTEX2:
      wait->instant = true;
      wait->clock = of->sixth;
      wait->at = of->fifth;
      break;
    case WAIT_FUTEXV:
      wait->instant = true;
      wait->clock = of->fifth;
      wait->at = of->fourth;
      break;
    case WAIT_TIMERFD:
    case WAIT_TIMER:
      wait->timer = true;
      wait->instant = of->second & ABSTIME;
      timer = wait->kind == WAIT_TIMER ? (__u32)tchaos_timer(of->first) : timer_of_fd(of->first);
      wait->clock = clock_in(timer);
      if (of->fourth) wait->left = clock_of_left(timer);
      wait->at = of->third;
      break;
    case WAIT_QUEUE:
      wait->instant = true;
      wait->clock = CLOCK_REALTIME;
      wait->at = of->fifth;
      break;
    case WAIT_SIGNAL:
    case WAIT_THIRD:
      wait->at = of->third;
      break;
    case WAIT_IPC:
      if ((of->first & 0xffff) != SEMTIMEDOP) return false;
      wait->at = of->sixth;
      break;
    case WAIT_FOURTH:
      wait->at = of->fourth;
      break;
    case WAIT_FIFTH:
    case WAIT_RECEIVED:
      wait->at = of->fifth;
      break;
  }
  heed_length(wait);
  return wait->at != 0 && wait->clock < TC_CLOCK_COUNT;
}

#endif
