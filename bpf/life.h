/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Births, exec and ends of targets. A forked child has its parent's clock page and detour, so it is
 * a target from before its first instruction; so is a program that is exec'd, whose vDSO is hidden.
 */
#ifndef TIME_CHAOS_BPF_LIFE_H
#define TIME_CHAOS_BPF_LIFE_H

#include "auxv.h"
#include "maps.h"

static __always_inline void at_fork(struct task_struct* child) {
  struct tc_bpf_target* parent = current_target();
  __u32 tgid = BPF_CORE_READ(child, tgid);
  if (tgid == bpf_get_current_pid_tgid() >> 32) return; /* a thread */
  if (!parent || (parent->flags & TC_BPF_ALONE)) {
    bpf_map_delete_elem(&tchaos_targets, &tgid); /* of an earlier process */
    return;
  }
  struct tc_bpf_target entry = *parent;
  entry.started_first = entry.started_last = BPF_CORE_READ(child, start_boottime);
  entry.flags |= TC_BPF_FORKED | TC_BPF_KNOWN;
  count(parent, TC_BPF_ROW_CHILDREN,
        bpf_map_update_elem(&tchaos_targets, &tgid, &entry, BPF_ANY) == 0);
}

/* The agent's pid namespace, by its inode; 0: the initial one, which shows every process. */
const volatile __u32 tchaos_pid_namespace = 0;

/* At most so many are within each other (MAX_PID_NS_LEVEL, include/linux/pid_namespace.h). */
#define MOST_PID_NAMESPACES 33

/* The agent's /proc shows this process: it lives in the agent's pid namespace or in one below. */
static __always_inline bool seen_by_agent(struct task_struct* task) {
  if (!tchaos_pid_namespace) return true;
  struct pid* ids = BPF_CORE_READ(task, thread_pid);
  __u32 deepest = BPF_CORE_READ(ids, level);
  char* numbers = (char*)ids + bpf_core_field_offset(struct pid, numbers);
  for (__u32 level = 0; level < MOST_PID_NAMESPACES && level <= deepest; level++) {
    struct upid* number = (struct upid*)(numbers + level * bpf_core_type_size(struct upid));
    if (BPF_CORE_READ(number, ns, ns.inum) == tchaos_pid_namespace) return true;
  }
  return false;
}

/* Programs here may ask for control groups (since 5.15). */
const volatile __u32 tchaos_knows_cgroups = 0; /* no bool: C++ has no _Bool */

/* The page of the nearest control group above this process that is followed. */
static __always_inline __u32* page_of_cgroups(void) {
  __u32* page = 0;
  __u64 id = 0;
  if (!tchaos_knows_cgroups || !bpf_map_lookup_elem(&tchaos_cgroups, &id)) return 0;
  for (int level = 0; level < TC_BPF_CGROUP_DEPTH; level++) {
    id = bpf_get_current_ancestor_cgroup_id(level);
    if (!id) break; /* deeper than this process is */
    __u32* found = bpf_map_lookup_elem(&tchaos_cgroups, &id);
    if (found) page = found;
  }
  return page;
}

/* Not the child of a target, but of a name or in a group that is followed: a restarted service. */
static __always_inline void at_followed_exec(struct linux_binprm* program) {
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  char comm[TC_BPF_COMM] = {};
  bpf_get_current_comm(comm, sizeof comm);
  __u32* page = bpf_map_lookup_elem(&tchaos_names, comm);
  if (!page) page = page_of_cgroups();
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  if (!page || !seen_by_agent(task)) {
    bpf_map_delete_elem(&tchaos_targets,
                        &tgid); /* of an earlier process, or of one that is alone */
    return;
  }
  struct tc_bpf_target entry = {.page = *page, .flags = TC_BPF_EXECED | TC_BPF_KNOWN};
  entry.started_first = entry.started_last = BPF_CORE_READ(task, group_leader, start_boottime);
  bool entered = bpf_map_update_elem(&tchaos_targets, &tgid, &entry, BPF_ANY) == 0;
  count(&entry, TC_BPF_ROW_EXECS, entered && hide_vdso(program));
}

/* Before the new program's first instruction. Its address space has neither page nor detour; with
 * its vDSO hidden every reading of a clock is a system call. */
static __always_inline void at_exec(struct linux_binprm* program) {
  struct tc_bpf_target* target = current_target();
  if (!target || (target->flags & TC_BPF_ALONE)) return at_followed_exec(program);
  target->vdso_start = target->vdso_end = 0;
  if (target->flags & TC_BPF_VDSO) return;
  target->flags |= TC_BPF_EXECED;
  count(target, TC_BPF_ROW_EXECS, hide_vdso(program));
}

/* Of a thread; the last one ends the process. An entry that stayed would do no harm (current_target
 * looks at the start time), but take up room. */
static __always_inline void at_thread_end(void) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  if (BPF_CORE_READ(task, signal, live.counter) > 0) return;
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  bpf_map_delete_elem(&tchaos_targets, &tgid);
}

/* Each twice: as a tracepoint, which every kernel has and which can be pinned; and as a function's
 * probe for the kernels on which tracepoints lose events while they are preempted. */

SEC("raw_tp/sched_process_fork")
int tchaos_fork_tp(struct bpf_raw_tracepoint_args* ctx) {
  at_fork((struct task_struct*)ctx->args[1]);
  return 0;
}

SEC("kprobe.multi") /* wake_up_new_task */
int tchaos_fork_kp(struct pt_regs* ctx) {
  at_fork((struct task_struct*)PT_REGS_PARM1(ctx));
  return 0;
}

SEC("raw_tp/sched_process_exec")
int tchaos_exec_tp(struct bpf_raw_tracepoint_args* ctx) {
  at_exec((struct linux_binprm*)ctx->args[2]);
  return 0;
}

SEC("kprobe.multi") /* finalize_exec */
int tchaos_exec_kp(struct pt_regs* ctx) {
  at_exec((struct linux_binprm*)PT_REGS_PARM1(ctx));
  return 0;
}

SEC("raw_tp/sched_process_exit")
int tchaos_end_tp(struct bpf_raw_tracepoint_args* ctx) {
  at_thread_end();
  return 0;
}

SEC("kprobe.multi") /* exit_files */
int tchaos_end_kp(struct pt_regs* ctx) {
  at_thread_end();
  return 0;
}

#endif
