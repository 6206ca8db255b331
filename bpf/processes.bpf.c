// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every process that the reader's pid namespace shows, with what the other programs know it by: its
 * id in the initial pid namespace, and its start time in the initial time namespace. */
#include "kernel.h"
#include "time_chaos/abi/bpf_state.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("iter/task")
int tchaos_processes(struct bpf_iter__task* ctx) {
  struct task_struct* task = ctx->task;
  if (!task || task->pid != task->tgid) return 0;
  struct task_struct* reader = (struct task_struct*)bpf_get_current_task();
  __u32 level = BPF_CORE_READ(reader, thread_pid, level);
  struct pid* ids = task->thread_pid;
  if (!ids || level > BPF_CORE_READ(ids, level)) return 0;
  struct tc_bpf_process process = {.tgid = task->tgid, .started = task->start_boottime};
  bpf_probe_read_kernel(&process.pid, sizeof process.pid,
                        (char*)ids + bpf_core_field_offset(struct pid, numbers) +
                            level * bpf_core_type_size(struct upid) +
                            bpf_core_field_offset(struct upid, nr));
  bpf_seq_write(ctx->meta->seq, &process, sizeof process);
  return 0;
}
