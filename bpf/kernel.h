/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The few kernel types that the programs look at, by hand, and only the fields they use: where a
 * field really is, the loader takes from the running kernel's BTF (CO-RE). No header dumped from a
 * build machine. */
#ifndef TIME_CHAOS_BPF_KERNEL_H
#define TIME_CHAOS_BPF_KERNEL_H

#define __VMLINUX_H__ 1 /* makes bpf_tracing.h use the kernel's names of registers */
#include <linux/types.h>
/* Map types, flags; behind the types that it needs. */
#include <linux/bpf.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
  unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs,
      flags, sp, ss;
};

struct thread_info {
  __u32 status; /* TS_COMPAT while a 32-bit call is served */
};

struct ns_common {
  unsigned int inum; /* as in /proc/PID/ns */
};

struct pid_namespace {
  struct ns_common ns;
};

struct upid {
  int nr;
  struct pid_namespace* ns;
};

struct pid {
  unsigned int level;
  struct upid numbers[1];
};

typedef struct {
  int counter;
} atomic_t;

struct list_head {
  struct list_head* next;
};

struct signal_struct {
  atomic_t live;                 /* threads that have not begun to exit */
  struct list_head posix_timers; /* or another kind of list, which begins alike */
};

struct k_clock {
  int (*clock_set)(const int, const void*); /* null: nobody sets it */
};

struct k_itimer {
  struct list_head list;
  int it_id;
  int it_clock;
  const struct k_clock* kclock; /* that it goes by now */
};

struct timerfd_ctx {
  int clockid;
  unsigned short settime_flags; /* of its last setting */
};

/* kernel/time/hrtimer.c; where what is left of a sleep goes is known from its beginning on. */
enum timespec_type { TT_NONE, TT_NATIVE, TT_COMPAT };

struct sleep_restart {
  int clockid;
  enum timespec_type type;
  void* rmtp;
};

struct restart_block {
  struct sleep_restart nanosleep;
};

struct file {
  void* private_data;
};

struct fdtable {
  unsigned int max_fds;
  struct file** fd;
};

struct files_struct {
  struct fdtable* fdt;
};

enum hrtimer_base_type { HRTIMER_BASE_REALTIME = 1, HRTIMER_BASE_TAI = 3 };

struct hrtimer_clock_base {
  __s64 offset; /* of its clock from CLOCK_MONOTONIC */
};

struct hrtimer_cpu_base {
  struct hrtimer_clock_base clock_base[4];
};

struct linux_binprm {
  unsigned long p; /* top of the new stack, at its argc */
  int argc, envc;
};

struct task_struct {
  struct thread_info thread_info;
  void* stack;
  int pid;
  int tgid;
  struct task_struct* group_leader;
  struct signal_struct* signal;
  struct pid* thread_pid;
  struct mm_struct* mm;
  struct files_struct* files;
  struct restart_block restart_block;
  unsigned int personality;
  __u64 start_boottime;
};

struct bpf_iter_meta {
  struct seq_file* seq;
};

struct bpf_iter__task {
  struct bpf_iter_meta* meta;
  struct task_struct* task;
};

struct bpf_iter__bpf_map_elem {
  struct bpf_iter_meta* meta;
  struct bpf_map* map;
  void* key;
  void* value;
};

#pragma clang attribute pop

#include <bpf/bpf_helpers.h>
/* Both need what stands above. */
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#define TS_COMPAT 2 /* arch/x86/include/asm/thread_info.h */

#endif
