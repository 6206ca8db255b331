// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Reads and changes the table of targets from within a program. A system call that does so keeps
 * probe programs from running on its processor (bpf_disable_instrumentation, include/linux/bpf.h),
 * for whoever runs there while the caller is preempted: readings would be lost. */
#include "kernel.h"
#include "time_chaos/abi/bpf_state.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define ENOENT 2
#define EINVAL 22

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, TC_BPF_MAX_TARGETS);
  __type(key, __u32);
  __type(value, struct tc_bpf_target);
} tchaos_targets SEC(".maps");

SEC("syscall")
int table_order(struct tc_bpf_order* order) {
  __u32 tgid = order->tgid;
  struct tc_bpf_target target = order->target;
  struct tc_bpf_target* found;
  order->result = -EINVAL;
  switch (order->kind) {
    case TC_BPF_FIND:
      found = bpf_map_lookup_elem(&tchaos_targets, &tgid);
      if (found) order->target = *found;
      order->result = found ? 0 : -ENOENT;
      break;
    case TC_BPF_PUT:
      order->result = bpf_map_update_elem(&tchaos_targets, &tgid, &target, BPF_ANY);
      break;
    case TC_BPF_DROP:
      order->result = bpf_map_delete_elem(&tchaos_targets, &tgid);
      break;
  }
  return 0;
}

SEC("iter/bpf_map_elem")
int table_list(struct bpf_iter__bpf_map_elem* ctx) {
  __u32* tgid = ctx->key;
  struct tc_bpf_target* target = ctx->value;
  if (!tgid || !target) return 0;
  struct tc_bpf_entry entry = {.tgid = *tgid, .target = *target};
  bpf_seq_write(ctx->meta->seq, &entry, sizeof entry);
  return 0;
}
