// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Waits until an instant: the kernel waits by its own clock, so it is given the instant at which
 * the target's clock will show what the target has asked for. An object of its own, which may fail
 * to load. The loader attaches each program to the functions that agent/syscalls/bpf_waits.cc
 * names. All are entries of functions: those are lost on no kernel. */
#include "wait_clock.h"
#include "wait_memory.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct pair64 {
  __s64 sec, nsec;
};

struct pair32 {
  __s32 sec, nsec;
};

static __always_inline struct reading instant_of(const struct wait_bytes* bytes, bool narrow) {
  struct pair32 pair = {(__s32)bytes->word[0], (__s32)(bytes->word[0] >> 32)};
  struct reading wide = {bytes->word[0], bytes->word[1]};
  struct reading from_narrow = {pair.sec, pair.nsec};
  return narrow ? from_narrow : wide;
}

/* 32 bits end in 2038. */
static __always_inline struct wait_bytes bytes_of(const struct reading* instant, bool narrow) {
  __s64 last = 0x7fffffff;
  __u32 sec = instant->sec < last ? instant->sec : last;
  struct wait_bytes wide = {{instant->sec, instant->nsec}};
  struct wait_bytes for_narrow = {{sec | (__u64)instant->nsec << 32, 0}};
  return narrow ? for_narrow : wide;
}

/* 0 switches a timer off, and what is no instant makes the call fail. */
static __always_inline bool is_instant(const struct reading* instant) {
  return instant->sec >= 0 && instant->nsec >= 0 && instant->nsec < TC_NSEC_PER_SEC &&
         (instant->sec != 0 || instant->nsec != 0);
}

/* Of the call that is looked at; on the stack there is no room. */
struct work {
  struct arguments arguments;
  struct wait wait;
  struct wait_debt debt;
  struct wait_bytes found;
  struct wait_held fresh;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct work);
} tchaos_work SEC(".maps");

enum outcome { LEFT_REAL, SHIFTED, NOTHING_TO_SHIFT };

/* What the kernel is to find instead of the caller's bytes. */
static __always_inline enum outcome compute(const struct tc_bpf_target* target, struct work* work) {
  struct reading instant = instant_of(&work->fresh.callers, work->wait.narrow);
  if (!is_instant(&instant)) return NOTHING_TO_SHIFT;
  if (!invert(target, work->wait.clock, &instant)) return LEFT_REAL;
  work->fresh.ours = bytes_of(&instant, work->wait.narrow);
  return same_bytes(&work->fresh.ours, &work->fresh.callers) ? NOTHING_TO_SHIFT : SHIFTED;
}

/* Under the lock. */
static __always_inline enum outcome replace(const struct tc_bpf_target* target, struct work* work) {
  const struct wait_debt* debt = &work->debt;
  struct wait_held* held = bpf_map_lookup_elem(&tchaos_wheld, &debt->place);
  if (!read_bytes(debt->place.at, debt->size, &work->found)) return NOTHING_TO_SHIFT;
  bool there = held && same_bytes(&work->found, &held->ours);
  if (!there && !same_bytes(&work->found, &work->fresh.callers)) {
    work->fresh.callers = work->found; /* another thread has put it back meanwhile */
    enum outcome outcome = compute(target, work);
    if (outcome != SHIFTED) return outcome;
  }
  return take_place(debt, held, there, &work->fresh) ? SHIFTED : LEFT_REAL;
}

/* What is computed is computed before the lock is taken, as a rule: others wait for it without
 * sleeping. */
static __always_inline enum outcome shift_wait(const struct tc_bpf_target* target,
                                               struct work* work) {
  const struct wait_debt* debt = &work->debt;
  if (!read_bytes(debt->place.at, debt->size, &work->fresh.callers)) {
    return NOTHING_TO_SHIFT; /* the call fails as well */
  }
  enum outcome outcome = compute(target, work);
  if (outcome != SHIFTED) return outcome;
  if (!lock_place(&debt->place)) return LEFT_REAL;
  outcome = replace(target, work);
  unlock_place(&debt->place);
  return outcome;
}

SEC("kprobe.multi") /* the functions that serve the calls */
int tchaos_wait(struct pt_regs* ctx) {
  struct tc_bpf_target* target = current_target();
  if (!target) return 0;
  put_back(); /* if an earlier call failed on its way */
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  bool ia32 = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
  struct pt_regs* regs = (struct pt_regs*)PT_REGS_PARM1(ctx);
  __u64 number = BPF_CORE_READ(regs, orig_ax) & ~0x40000000ULL; /* without the mark of x32 calls */
  __u32 zero = 0;
  struct work* work = bpf_map_lookup_elem(&tchaos_work, &zero);
  if (!work) return 0;
  read_arguments(regs, ia32, &work->arguments);
  __u32 kind = ia32 ? ia32_wait(number) : native_wait(number);
  if (!locate_wait(kind, &work->arguments, &work->wait)) return 0;
  work->debt.place.memory = (__u64)BPF_CORE_READ(task, mm);
  work->debt.place.at = work->wait.at;
  work->debt.size = work->wait.narrow ? 8 : 16;
  enum outcome outcome = shift_wait(target, work);
  if (outcome != NOTHING_TO_SHIFT) count(target, TC_BPF_ROW_WAITS, outcome == SHIFTED);
  return 0;
}

SEC("kprobe.multi") /* what these call next when they have read their arguments */
int tchaos_wait_read(struct pt_regs* ctx) {
  put_back();
  return 0;
}

SEC("raw_tp/sched_process_exit")
int tchaos_wait_end(struct bpf_raw_tracepoint_args* ctx) {
  put_back();
  return 0;
}
