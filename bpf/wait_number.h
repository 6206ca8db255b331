/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The numbers of the system calls that wait, or say how much is left of that, and what is to be
 * known to read their arguments. */
#ifndef TIME_CHAOS_BPF_WAIT_NUMBER_H
#define TIME_CHAOS_BPF_WAIT_NUMBER_H

#include "kernel.h"

enum wait_kind {
  WAIT_NANOSLEEP = 1,
  WAIT_CLOCK_NANOSLEEP,
  WAIT_FUTEX,
  WAIT_FUTEX2, /* futex_wait */
  WAIT_FUTEXV,
  WAIT_TIMERFD,
  WAIT_TIMER,
  WAIT_QUEUE,
  WAIT_IPC,
  WAIT_SIGNAL, /* rt_sigtimedwait */
  /* By the argument that says for how long. */
  WAIT_THIRD,
  WAIT_FOURTH,
  WAIT_FIFTH,
  WAIT_RECEIVED, /* recvmmsg: the fifth */
  /* These do not begin a wait. */
  LEFT_RESTARTED, /* restart_syscall: a sleep goes on, if it was one */
  LEFT_TIMER,     /* timer_gettime */
  LEFT_TIMERFD,
  WAIT_NARROW = 32, /* besides one of these: 32-bit fields */
};

static __always_inline __u32 native_wait(__u64 number) {
  switch (number) { /* arch/x86/entry/syscalls/syscall_64.tbl */
    case 35:
      return WAIT_NANOSLEEP;
    case 230:
      return WAIT_CLOCK_NANOSLEEP;
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
    case 242: /* mq_timedsend */
    case 243: /* mq_timedreceive */
      return WAIT_QUEUE;
    case 128:
      return WAIT_SIGNAL;
    case 271: /* ppoll */
      return WAIT_THIRD;
    case 220: /* semtimedop */
    case 441: /* epoll_pwait2 */
      return WAIT_FOURTH;
    case 208: /* io_getevents */
    case 270: /* pselect6 */
    case 333: /* io_pgetevents */
      return WAIT_FIFTH;
    case 299:
      return WAIT_RECEIVED;
    case 219:
      return LEFT_RESTARTED;
    case 224:
      return LEFT_TIMER;
    case 287:
      return LEFT_TIMERFD;
  }
  return 0;
}

static __always_inline __u32 ia32_wait(__u64 number) {
  switch (number) { /* arch/x86/entry/syscalls/syscall_32.tbl */
    case 162:
      return WAIT_NANOSLEEP | WAIT_NARROW;
    case 267:
      return WAIT_CLOCK_NANOSLEEP | WAIT_NARROW;
    case 407:
      return WAIT_CLOCK_NANOSLEEP;
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
    case 117:
      return WAIT_IPC | WAIT_NARROW;
    case 177:
      return WAIT_SIGNAL | WAIT_NARROW;
    case 421:
      return WAIT_SIGNAL;
    case 309: /* ppoll */
      return WAIT_THIRD | WAIT_NARROW;
    case 414:
      return WAIT_THIRD;
    case 420: /* semtimedop */
    case 441: /* epoll_pwait2 */
      return WAIT_FOURTH;
    case 247: /* io_getevents */
    case 308: /* pselect6 */
    case 385: /* io_pgetevents */
      return WAIT_FIFTH | WAIT_NARROW;
    case 413:
    case 416:
      return WAIT_FIFTH;
    case 337:
      return WAIT_RECEIVED | WAIT_NARROW;
    case 417:
      return WAIT_RECEIVED;
    case 0:
      return LEFT_RESTARTED;
    case 261:
      return LEFT_TIMER | WAIT_NARROW;
    case 408:
      return LEFT_TIMER;
    case 326:
      return LEFT_TIMERFD | WAIT_NARROW;
    case 410:
      return LEFT_TIMERFD;
  }
  return 0;
}

#endif
