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

/* Not the child of a target, but of a name that is followed: a restarted service. */
static __always_inline void at_named_exec(struct linux_binprm* program) {
  __u32 tgid = bpf_get_current_pid_tgid() >> 32;
  char comm[TC_BPF_COMM] = {};
  bpf_get_current_comm(comm, sizeof comm);
  __u32* page = bpf_map_lookup_elem(&tchaos_names, comm);
  if (!page) {
    bpf_map_delete_elem(&tchaos_targets,
                        &tgid); /* of an earlier process, or of one that is alone */
    return;
  }
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  struct tc_bpf_target entry = {.page = *page, .flags = TC_BPF_EXECED | TC_BPF_KNOWN};
  entry.started_first = entry.started_last = BPF_CORE_READ(task, group_leader, start_boottime);
  bool entered = bpf_map_update_elem(&tchaos_targets, &tgid, &entry, BPF_ANY) == 0;
  count(&entry, TC_BPF_ROW_EXECS, entered && hide_vdso(program));
}

/* Before the new program's first instruction. Its address space has neither page nor detour; with
 * its vDSO hidden every reading of a clock is a system call. */
static __always_inline void at_exec(struct linux_binprm* program) {
  struct tc_bpf_target* target = current_target();
  if (!target || (target->flags & TC_BPF_ALONE)) return at_named_exec(program);
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

#endif
