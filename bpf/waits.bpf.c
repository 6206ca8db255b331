// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Waits: the kernel waits by its own clock, so it is given the instant at which the target's clock
 * will show what the target has asked for, or the length of time that it takes until then. An
 * object of its own, which may fail to load.
 *
 * All calls that wait read the caller's memory by a few functions of the kernel. At the entry of
 * these there is written what they are to find; when they have read it, it is put back. The loader
 * attaches the programs to the functions that agent/syscalls/bpf_waits.cc names. */
#include "wait_left.h"
#include "wait_memory.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct pair32 {
  __s32 sec, nsec;
};

/* Which of the words of struct wait_bytes: a struct timespec, or the first or the second of an
 * itimerspec. Masked where the verifier sees it. */
static __always_inline __u64 word_of(__u32 narrow, __u32 second) {
  __u64 word = narrow ? second : 2 * second;
  barrier_var(word);
  return word & 2 ? 2 : word & 1;
}

static __always_inline struct reading reading_in(const struct wait_bytes* bytes, __u32 narrow,
                                                 __u32 second) {
  __u64 word = word_of(narrow, second);
  barrier_var(word);
  const __u64* at = &bytes->word[word & 3];
  struct reading from_narrow = {(__s32)at[0], (__s32)(at[0] >> 32)};
  struct reading wide = {at[0], at[1]};
  return narrow ? from_narrow : wide;
}

/* 32 bits end in 2038. */
static __always_inline void write_reading(const struct reading* reading, __u32 narrow, __u32 second,
                                          struct wait_bytes* bytes) {
  __s64 last = 0x7fffffff;
  __u32 sec = reading->sec < last ? reading->sec : last;
  __u64 word = word_of(narrow, second);
  barrier_var(word);
  __u64* at = &bytes->word[word & 3];
  if (narrow) {
    at[0] = sec | (__u64)reading->nsec << 32;
  } else {
    at[0] = reading->sec;
    at[1] = reading->nsec;
  }
}

/* 0 does not wait, or switches a timer off, and what is no time makes the call fail. */
static __always_inline bool waits(const struct reading* reading) {
  return reading->sec >= 0 && reading->nsec >= 0 && reading->nsec < TC_NSEC_PER_SEC &&
         (reading->sec != 0 || reading->nsec != 0);
}

/* Of the call that is looked at; on the stack there is no room. */
struct work {
  struct arguments arguments;
  struct wait wait;
  struct wait_debt debt;
  struct wait_bytes found;
  struct wait_held fresh;
  struct tc_bpf_timerfd timerfd;
  struct tc_bpf_timer_end end;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct work);
} tchaos_work SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, TC_BPF_MAX_TIMERS);
  __type(key, struct tc_bpf_timerfd);
  __type(value, struct tc_bpf_timer_end);
} tchaos_wtimers SEC(".maps");

enum outcome { LEFT_REAL, SHIFTED, NOTHING_TO_SHIFT };

/* What comes again and again does so at the rate of the clock; what a schedule shows meanwhile has
 * no one length. */
static __always_inline void compute_interval(__u32 page, struct work* work) {
  struct reading interval = reading_in(&work->fresh.callers, work->wait.narrow, false);
  if (!waits(&interval) || kind_of(page, work->wait.clock) != TC_MAP_RATE) return;
  if (!invert_length(page, work->wait.clock, &interval)) return;
  write_reading(&interval, work->wait.narrow, false, &work->fresh.ours);
}

/* What the kernel is to find instead of the caller's bytes. */
static __always_inline enum outcome compute(__u32 page, struct work* work) {
  struct wait* wait = &work->wait;
  struct reading reading = reading_in(&work->fresh.callers, wait->narrow, wait->timer);
  if (!waits(&reading)) return NOTHING_TO_SHIFT;
  work->fresh.ours = work->fresh.callers;
  bool done = wait->instant ? invert(page, wait->clock, &reading)
                            : invert_length(page, wait->clock, &reading);
  if (!done) return LEFT_REAL;
  write_reading(&reading, wait->narrow, wait->timer, &work->fresh.ours);
  if (wait->timer) compute_interval(page, work);
  return same_bytes(&work->fresh.ours, &work->fresh.callers) ? NOTHING_TO_SHIFT : SHIFTED;
}

__attribute__((noinline)) int tchaos_compute(__u32 page) {
  __u32 zero = 0;
  struct work* work = bpf_map_lookup_elem(&tchaos_work, &zero);
  return work ? compute(page, work) : NOTHING_TO_SHIFT;
}

/* Under the lock. `theirs`: what was found before was another thread's, of which nothing has been
 * computed. */
static __always_inline enum outcome replace(__u32 page, struct work* work, bool theirs) {
  const struct wait_debt* debt = &work->debt;
  struct wait_held* held = bpf_map_lookup_elem(&tchaos_wheld, &debt->place);
  if (!read_bytes(debt->place.at, debt->size, &work->found)) return LEFT_REAL;
  bool there = held && same_bytes(&work->found, &held->ours);
  if (!there && (theirs || !same_bytes(&work->found, &work->fresh.callers))) {
    work->fresh.callers = work->found; /* another thread has put it back meanwhile */
    enum outcome outcome = tchaos_compute(page);
    if (outcome != SHIFTED) return outcome;
  }
  return take_place(debt, held, there, &work->fresh) ? SHIFTED : LEFT_REAL;
}

/* What is computed is computed before the lock is taken, as a rule: others wait for it without
 * sleeping. */
static __always_inline enum outcome shift_wait(__u32 page, struct work* work) {
  const struct wait_debt* debt = &work->debt;
  if (!read_bytes(debt->place.at, debt->size, &work->fresh.callers)) {
    return LEFT_REAL; /* it is not there now, or never: then the call fails */
  }
  struct wait_held* held = bpf_map_lookup_elem(&tchaos_wheld, &debt->place);
  bool theirs = held && same_bytes(&work->fresh.callers, &held->ours);
  enum outcome outcome = theirs ? SHIFTED : tchaos_compute(page);
  if (outcome != SHIFTED) return outcome;
  if (!lock_place(&debt->place)) return LEFT_REAL;
  outcome = replace(page, work, theirs);
  unlock_place(&debt->place);
  return outcome;
}

/* For who sets timerfds anew when the clocks change. What was shifted is in the place that this
 * thread has still to put back, the caller's own and what the kernel is to find: another one may
 * have written it. */
__attribute__((noinline)) int tchaos_note_timerfd(__u32 shifted) {
  __u32 zero = 0;
  struct work* work = bpf_map_lookup_elem(&tchaos_work, &zero);
  if (!work) return 0;
  const struct wait_held* held = &work->fresh;
  if (shifted) held = bpf_map_lookup_elem(&tchaos_wheld, &work->debt.place);
  if (!held) return 0;
  struct reading shown = reading_in(&held->callers, work->wait.narrow, true);
  struct reading real = shown;
  if (shifted) real = reading_in(&held->ours, work->wait.narrow, true);
  if (!waits(&shown)) return 0;
  work->timerfd.tgid = bpf_get_current_pid_tgid() >> 32;
  work->timerfd.fd = work->arguments.first;
  work->end.shown_sec = shown.sec;
  work->end.shown_nsec = shown.nsec;
  work->end.real_sec = real.sec;
  work->end.real_nsec = real.nsec;
  bpf_map_update_elem(&tchaos_wtimers, &work->timerfd, &work->end, BPF_ANY);
  return 0;
}

#define STACK_SIZE 16384 /* THREAD_SIZE, where there is no better way to ask */

/* With which the program entered the kernel. */
static __always_inline const struct pt_regs* entry_registers(struct task_struct* task) {
  if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
    return (const struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
  }
  char* stack = BPF_CORE_READ(task, stack);
  return (const struct pt_regs*)(stack + STACK_SIZE - bpf_core_type_size(struct pt_regs));
}

/* Lengths of time are mapped: not at all, but for rt_sigtimedwait, or in every call. */
enum { LENGTHS_REAL, LENGTHS_MOST, LENGTHS_ALL };
__u32 tchaos_lengths = LENGTHS_REAL;

static __always_inline bool is_mapped(const struct wait* wait) {
  __u32 lengths = *(volatile __u32*)&tchaos_lengths;
  if (wait->instant || lengths == LENGTHS_ALL) return true;
  return lengths == LENGTHS_MOST && wait->kind != WAIT_SIGNAL;
}

/* enum wait_kind of the call that runs, and its arguments. */
static __always_inline __u32 read_call(struct task_struct* task, struct arguments* arguments) {
  const struct pt_regs* regs = entry_registers(task);
  bool ia32 = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
  __u64 number = BPF_CORE_READ(regs, orig_ax) & ~0x40000000ULL; /* without the mark of x32 calls */
  __u32 kind = ia32 ? ia32_wait(number) : native_wait(number);
  if (kind) read_arguments(regs, ia32, arguments);
  return kind;
}

/* What the call that runs waits for. False: for nothing that this function reads. */
static __always_inline bool find_wait(struct task_struct* task, __u64 read, struct work* work) {
  __u32 kind = read_call(task, &work->arguments);
  if (!kind) return false;
  return locate_wait(kind, &work->arguments, &work->wait) && work->wait.at == read &&
         is_mapped(&work->wait);
}

/* As get_timespec64(to, from). A setting of a timer is read by a function that may call the one for
 * an instant. */
SEC("kprobe.multi")
int tchaos_wait(struct pt_regs* ctx) {
  struct tc_bpf_target* target = current_target();
  if (!target) return 0;
  __u64 function = PT_REGS_IP(ctx);
  struct wait_debt* debt = debt_of_thread();
  if (debt && debt->timer && debt->function != function) return 0;
  if (debt) put_back(debt); /* if an earlier return was not seen */
  __u32 zero = 0;
  struct work* work = bpf_map_lookup_elem(&tchaos_work, &zero);
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  if (!work || !find_wait(task, PT_REGS_PARM2(ctx), work)) return 0;
  if (work->wait.left != NO_CLOCK) {
    remember_setting(work->arguments.first, work->wait.kind, work->wait.left);
  }
  if (!work->wait.instant && kind_of(target->page, work->wait.clock) == TC_MAP_OFFSET) return 0;
  work->debt.place.memory = (__u64)BPF_CORE_READ(task, mm);
  work->debt.place.at = work->wait.at;
  work->debt.function = function;
  work->debt.size = (work->wait.narrow ? 8 : 16) << work->wait.timer;
  work->debt.timer = work->wait.timer;
  enum outcome outcome = shift_wait(target->page, work);
  if (outcome != NOTHING_TO_SHIFT) count(target, TC_BPF_ROW_WAITS, outcome == SHIFTED);
  if (work->wait.kind == WAIT_TIMERFD && work->wait.instant)
    tchaos_note_timerfd(outcome == SHIFTED);
  return 0;
}

/* Where an instant or a length has been read. */
SEC("kprobe.multi")
int tchaos_wait_read(struct pt_regs* ctx) {
  struct wait_debt* debt = debt_of_thread();
  if (debt && !debt->timer) put_back(debt);
  return 0;
}

/* Where a setting of a timer has been read. */
SEC("kprobe.multi")
int tchaos_timer_read(struct pt_regs* ctx) {
  struct wait_debt* debt = debt_of_thread();
  if (debt) put_back(debt);
  return 0;
}

/* One length that the kernel has written down. */
__attribute__((noinline)) int tchaos_show_length(__u32 page, __u32 second) {
  __u32 zero = 0;
  struct work* work = bpf_map_lookup_elem(&tchaos_work, &zero);
  if (!work) return 0;
  struct reading length = reading_in(&work->found, work->wait.narrow, second);
  if (!waits(&length) || !show_length(page, work->wait.clock, &length)) return 0;
  write_reading(&length, work->wait.narrow, second, &work->found);
  return 1;
}

/* At the return of what writes down how much is left: one function, which does so once in a call.
 * Where that return is not seen, it is in real time. */
SEC("kprobe.multi")
int tchaos_wait_left(struct pt_regs* ctx) {
  struct tc_bpf_target* target = current_target();
  if (!target) return 0;
  __u32 zero = 0;
  struct work* work = bpf_map_lookup_elem(&tchaos_work, &zero);
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  if (!work) return 0;
  struct wait* left = &work->wait;
  __u32 kind = read_call(task, &work->arguments);
  if (!is_written(task, kind & ~WAIT_NARROW, PT_REGS_RC(ctx))) return 0;
  if (!locate_left(task, kind, &work->arguments, left)) return 0;
  __u32 map = kind_of(target->page, left->clock);
  __u32 size = (left->narrow ? 8 : 16) << left->timer;
  if (map == TC_MAP_OFFSET || !read_bytes(left->at, size, &work->found)) return 0;
  int shown = tchaos_show_length(target->page, left->timer);
  if (left->timer && map == TC_MAP_RATE) shown |= tchaos_show_length(target->page, 0);
  if (shown) write_bytes(left->at, size, &work->found);
  return 0;
}

SEC("raw_tp/sched_process_exit")
int tchaos_wait_end(struct bpf_raw_tracepoint_args* ctx) {
  struct wait_debt* debt = debt_of_thread();
  if (debt) put_back(debt);
  return 0;
}
