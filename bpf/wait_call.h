/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which system calls wait until an instant of a clock, of which clock, and where the caller has
 * written the instant down. */
#ifndef TIME_CHAOS_BPF_WAIT_CALL_H
#define TIME_CHAOS_BPF_WAIT_CALL_H

#include "reading.h"

/* include/uapi/linux/time.h, timerfd.h, futex.h */
#define CLOCK_MONOTONIC 1
#define CLOCK_REALTIME_ALARM 8
#define CLOCK_BOOTTIME_ALARM 9
#define CLOCK_TAI 11
#define ABSTIME 1 /* of clock_nanosleep, of timers and of timerfds alike */
#define FUTEX_LOCK_PI 6
#define FUTEX_WAIT_BITSET 9
#define FUTEX_WAIT_REQUEUE_PI 11
#define FUTEX_LOCK_PI2 13
#define FUTEX_COMMAND 0x7f
#define FUTEX_CLOCK_REALTIME 256

enum wait_kind {
  WAIT_NANOSLEEP = 1,
  WAIT_FUTEX,
  WAIT_FUTEX2, /* futex_wait */
  WAIT_FUTEXV,
  WAIT_TIMERFD,
  WAIT_TIMER,
  WAIT_QUEUE,
  WAIT_NARROW = 16, /* besides one of these: 32-bit fields */
};

static __always_inline __u32 native_wait(__u64 number) {
  switch (number) { /* arch/x86/entry/syscalls/syscall_64.tbl */
    case 230:
      return WAIT_NANOSLEEP;
    case 202:
      return WAIT_FUTEX;
    case 455:
      return WAIT_FUTEX2;
    case 449:
      return WAIT_FUTEXV;
    case 286:
      return WAIT_TIMERFD;
    case 223:
      return WAIT_TIMER;
    case 242:
    case 243:
      return WAIT_QUEUE;
  }
  return 0;
}

static __always_inline __u32 ia32_wait(__u64 number) {
  switch (number) { /* arch/x86/entry/syscalls/syscall_32.tbl */
    case 267:
      return WAIT_NANOSLEEP | WAIT_NARROW;
    case 407:
      return WAIT_NANOSLEEP;
    case 240:
      return WAIT_FUTEX | WAIT_NARROW;
    case 422:
      return WAIT_FUTEX;
    case 455:
      return WAIT_FUTEX2;
    case 449:
      return WAIT_FUTEXV;
    case 325:
      return WAIT_TIMERFD | WAIT_NARROW;
    case 411:
      return WAIT_TIMERFD;
    case 260:
      return WAIT_TIMER | WAIT_NARROW;
    case 409:
      return WAIT_TIMER;
    case 279:
    case 280:
      return WAIT_QUEUE | WAIT_NARROW;
    case 418:
    case 419:
      return WAIT_QUEUE;
  }
  return 0;
}

struct wait {
  __u64 at; /* a struct timespec of the caller's; 0: it waits for ever */
  __u32 clock;
  bool narrow; /* 32-bit fields */
};

/* A clock that nobody has. */
#define NO_CLOCK TC_CLOCK_COUNT

/* FUTEX_WAIT, the only other one with a timeout, waits for a length of time. */
static __always_inline __u32 clock_of_futex(__u32 operation) {
  __u32 chosen = operation & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  switch (operation & FUTEX_COMMAND) {
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_LOCK_PI2:
      return chosen;
    case FUTEX_LOCK_PI:
      return CLOCK_REALTIME;
  }
  return NO_CLOCK;
}

/* If it is no timerfd, the call fails anyhow. */
static __always_inline __u32 clock_of_timerfd(__u32 fd) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct fdtable* table = BPF_CORE_READ(task, files, fdt);
  if (fd >= BPF_CORE_READ(table, max_fds)) return NO_CLOCK;
  struct file** files = BPF_CORE_READ(table, fd);
  struct file* file = 0;
  if (bpf_probe_read_kernel(&file, sizeof file, files + fd) || !file) return NO_CLOCK;
  struct timerfd_ctx* timer = BPF_CORE_READ(file, private_data);
  return timer ? (__u32)BPF_CORE_READ(timer, clockid) : NO_CLOCK;
}

#define TIMERS_MOST 128 /* of a process, of those that it made last */

/* The kernel's list of a process's timers: a ring that goes through its head, or, from 6.11 on,
 * one with an end. */
static __always_inline __u32 clock_of_timer(__s32 id) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  char* head = (char*)BPF_CORE_READ(task, signal);
  head += bpf_core_field_offset(struct signal_struct, posix_timers);
  char* node = head;
#pragma nounroll
  for (int i = 0; i < TIMERS_MOST; i++) {
    if (bpf_probe_read_kernel(&node, sizeof node, node) || !node || node == head) return NO_CLOCK;
    struct k_itimer* timer = (void*)(node - bpf_core_field_offset(struct k_itimer, list));
    if (BPF_CORE_READ(timer, it_id) == id) return BPF_CORE_READ(timer, it_clock);
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

/* it_value, the second field of struct itimerspec. */
static __always_inline __u64 value_of(__u64 timer, bool narrow) {
  return timer ? timer + (narrow ? 8 : 16) : 0;
}

/* False: it waits for nothing that a map could change. */
static __always_inline bool locate_wait(__u32 kind, const struct arguments* of, struct wait* wait) {
  wait->narrow = kind & WAIT_NARROW;
  wait->clock = NO_CLOCK;
  wait->at = 0;
  switch (kind & ~WAIT_NARROW) {
    case WAIT_NANOSLEEP:
      if (of->second & ABSTIME) wait->clock = of->first;
      wait->at = of->third;
      break;
    case WAIT_FUTEX:
      wait->clock = clock_of_futex(of->second);
      wait->at = of->fourth;
      break;
    case WAIT_FUTEX2:
      wait->clock = of->sixth;
      wait->at = of->fifth;
      break;
    case WAIT_FUTEXV:
      wait->clock = of->fifth;
      wait->at = of->fourth;
      break;
    case WAIT_TIMERFD:
      if (of->second & ABSTIME) wait->clock = clock_of_timerfd(of->first);
      wait->at = value_of(of->third, wait->narrow);
      break;
    case WAIT_TIMER:
      if (of->second & ABSTIME) wait->clock = clock_of_timer(of->first);
      wait->at = value_of(of->third, wait->narrow);
      break;
    case WAIT_QUEUE:
      wait->clock = CLOCK_REALTIME;
      wait->at = of->fifth;
      break;
  }
  return wait->at != 0 && wait->clock < TC_CLOCK_COUNT;
}

#endif
