/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only OR BSD-2-Clause */
/* What the BPF programs and the agent share besides the clock pages: the values of the BPF maps.
 * Plain C, freestanding, fixed widths.
 *
 * The maps, by the names under which other agents find them:
 *     tchaos_targets  hash    kernel's tgid -> struct tc_bpf_target
 *     tchaos_pages    array   page number -> struct tc_clock_page, mappable
 *     tchaos_counts   array   (processor * pages + page number) * TC_BPF_ROWS + row
 *                             -> struct tc_bpf_count, mappable
 *     tchaos_names    hash    comm, filled up with NULs -> page number
 *     tchaos_cgroups  hash    id of a control group (version 2) -> page number; 0 is there when
 *                             any other is
 *     tchaos_wtimers  hash    struct tc_bpf_timerfd -> struct tc_bpf_timer_end, where waits are
 *                             hooked: how timerfds were set to an instant; the eldest are forgotten
 * What is executed by such a name, or in or below such a group, is a target, whoever does that. */
#ifndef TIME_CHAOS_ABI_BPF_STATE_H
#define TIME_CHAOS_ABI_BPF_STATE_H

#include "time_chaos/abi/clock_page.h"

enum {
  TC_BPF_MAX_TARGETS = 8192, /* of one agent, forked children included */
  TC_BPF_MAX_NAMES = 64,     /* that one agent follows */
  TC_BPF_CGROUP_DEPTH = 16,  /* levels at which they are looked for */
  TC_BPF_MAX_TIMERS = 8192,  /* that one agent remembers */
  TC_BPF_COMM = 16,          /* TASK_COMM_LEN, include/linux/sched.h */
  /* Rows of counts of one page: one a clock id, then these. */
  TC_BPF_ROW_CHILDREN = TC_CLOCK_COUNT, /* done: forked children added; refused: not added */
  TC_BPF_ROW_EXECS, /* done: exec'd programs whose vDSO was hidden; refused: could not be */
  TC_BPF_ROW_WAITS, /* done: ends of waits in the target's time; refused: left in real time */
  TC_BPF_ROWS = 16,
};

/* tc_bpf_target.flags */
#define TC_BPF_UNCOUNTED 1U /* a check of the agent's own: its readings are not counted */
#define TC_BPF_FORKED 2U    /* added by the fork hook */
#define TC_BPF_KNOWN 4U     /* its start time was looked at */
#define TC_BPF_EXECED 8U    /* it runs a program that was exec'd by a target; its vDSO is hidden */
#define TC_BPF_ALONE 16U    /* children and programs that it executes are no targets */
#define TC_BPF_VDSO 32U     /* the vDSO of programs that it executes is left alone */

struct tc_bpf_target {
  /* start_boottime of its thread group leader lies in [started_first, started_last], nanoseconds
   * of the initial time namespace: guards against a reused pid. The agent often knows it to a clock
   * tick only (field 22 of /proc/PID/stat). */
  uint64_t started_first;
  uint64_t started_last;
  /* System calls made from inside [vdso_start, vdso_end) are left to the detour of that vDSO. 0, 0:
   * there is no detour. */
  uint64_t vdso_start;
  uint64_t vdso_end;
  uint32_t page;  /* number of its clock page */
  uint32_t flags; /* TC_BPF_* */
};

struct tc_bpf_count {
  uint64_t done;    /* readings shifted */
  uint64_t refused; /* the kernel refused to write to the target's memory: shown unshifted */
};

/* A timerfd of a process. */
struct tc_bpf_timerfd {
  uint32_t tgid;
  int32_t fd;
};

/* An instant that it was set to, last: what the process asked for, and what the kernel was given.
 * Of a call that failed, too. */
struct tc_bpf_timer_end {
  int64_t shown_sec, shown_nsec;
  int64_t real_sec, real_nsec;
};

/* What is asked of the program that changes tchaos_targets. Its result is 0 or -errno. */
enum tc_bpf_order_kind { TC_BPF_FIND = 1, TC_BPF_PUT, TC_BPF_DROP };

struct tc_bpf_order {
  uint32_t kind; /* enum tc_bpf_order_kind */
  uint32_t tgid;
  struct tc_bpf_target target;
  int32_t result;
  uint32_t reserved;
};

/* What the iterator program tells of an entry of tchaos_targets. */
struct tc_bpf_entry {
  uint32_t tgid;
  uint32_t reserved;
  struct tc_bpf_target target;
};

/* What the iterator program tells of a process that the reader's pid namespace shows. */
struct tc_bpf_process {
  uint32_t pid;     /* in the reader's pid namespace */
  uint32_t tgid;    /* in the initial one: the key of tchaos_targets */
  uint64_t started; /* start_boottime */
};

TC_STATIC_ASSERT(sizeof(struct tc_bpf_target) == 40, "the programs' map");
TC_STATIC_ASSERT(sizeof(struct tc_bpf_count) == 16, "the programs' map");
TC_STATIC_ASSERT(sizeof(struct tc_bpf_timerfd) == 8, "the programs' map");
TC_STATIC_ASSERT(sizeof(struct tc_bpf_timer_end) == 32, "the programs' map");
TC_STATIC_ASSERT(sizeof(struct tc_bpf_order) == 56, "the program's context");
TC_STATIC_ASSERT(sizeof(struct tc_bpf_entry) == 48, "the iterator's output");
TC_STATIC_ASSERT(sizeof(struct tc_bpf_process) == 16, "the iterator's output");

#endif
