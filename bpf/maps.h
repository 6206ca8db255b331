/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The maps, and who is a target. The number of pages, and with it that of the counts, is set before
 * the programs are loaded. Both are read through mmap: a system call that reads a map keeps
 * programs from running on its processor meanwhile (bpf_disable_instrumentation). */
#ifndef TIME_CHAOS_BPF_MAPS_H
#define TIME_CHAOS_BPF_MAPS_H

#include "kernel.h"
#include "time_chaos/abi/bpf_state.h"

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TC_BPF_MAX_TARGETS);
  __type(key, __u32);
  __type(value, struct tc_bpf_target);
} tchaos_targets SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TC_BPF_MAX_NAMES);
  __type(key, char[TC_BPF_COMM]);
  __type(value, __u32);
} tchaos_names SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct tc_clock_page);
} tchaos_pages SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(max_entries, TC_BPF_ROWS);
  __type(key, __u32);
  __type(value, struct tc_bpf_count);
} tchaos_counts SEC(".maps");

const volatile __u32 tchaos_page_count = 1;

/* A row of its own for each processor, so that they do not contend for it. */
static __always_inline void count(const struct tc_bpf_target* target, __u32 row, bool done) {
  if (target->flags & TC_BPF_UNCOUNTED) return;
  __u32 key = (bpf_get_smp_processor_id() * tchaos_page_count + target->page) * TC_BPF_ROWS + row;
  struct tc_bpf_count* count = bpf_map_lookup_elem(&tchaos_counts, &key);
  if (!count) return;
  /* A program can be preempted where it stands. */
  __sync_fetch_and_add(done ? &count->done : &count->refused, 1);
}

/* The entry of the current process, unless it was made for an earlier one with the same id. That is
 * looked at once: while the process lives nobody else gets its id, its end removes the entry, and
 * so does the birth of a process that is no target's child. */
static __always_inline struct tc_bpf_target* current_target(void) {
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  struct tc_bpf_target* target = bpf_map_lookup_elem(&tchaos_targets, &tgid);
  if (!target || (target->flags & TC_BPF_KNOWN)) return target;
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  __u64 started = BPF_CORE_READ(task, group_leader, start_boottime);
  if (started < target->started_first || started > target->started_last) return 0;
  target->flags |= TC_BPF_KNOWN;
  return target;
}

#endif
