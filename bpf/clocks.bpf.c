// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The syscall engine's programs. The loader switches on one family of exit hooks, and of the others
 * what this kernel serves best (agent/syscalls/bpf_hooks.h says which and why). */
#include "life.h"
#include "shift.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* --- By the number of the system call. --- */
static __always_inline __u32 native_kind(__u64 number) {
  switch (number) { /* arch/x86/entry/syscalls/syscall_64.tbl */
    case 228:
      return CALL_CLOCK_GETTIME;
    case 96:
      return CALL_GETTIMEOFDAY;
    case 159:
      return CALL_ADJTIMEX;
    case 305:
      return CALL_CLOCK_ADJTIME;
    case 99:
      return CALL_SYSINFO;
  }
  return 0;
}

static __always_inline __u32 ia32_kind(__u64 number) {
  switch (number) { /* arch/x86/entry/syscalls/syscall_32.tbl */
    case 265:
      return CALL_CLOCK_GETTIME32;
    case 403:
      return CALL_CLOCK_GETTIME;
    case 78:
      return CALL_GETTIMEOFDAY32;
    case 124:
      return CALL_ADJTIMEX32;
    case 343:
      return CALL_CLOCK_ADJTIME32;
    case 405:
      return CALL_CLOCK_ADJTIME;
    case 116:
      return CALL_SYSINFO32;
  }
  return 0;
}

static __always_inline void at_exit(struct tc_bpf_target* target, __u32 native, __u32 ia32,
                                    struct pt_regs* regs, long result) {
  struct task_struct* task = (struct task_struct*)bpf_get_current_task();
  bool is_ia32 = BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
  __u32 kind = is_ia32 ? ia32 : native;
  if (succeeded(kind, result)) shift_call(target, kind, is_ia32, regs);
}

static __always_inline __u64 call_number(struct pt_regs* regs) {
  return regs->orig_ax & ~0x40000000ULL; /* without the mark of x32 calls */
}

/* One probe on all functions that serve the calls. Its registers are the function's own; what the
 * program passed is saved on the task's stack. Most callers are no targets: that comes first. */
SEC("kretprobe.multi")
int tchaos_return(struct pt_regs* ctx) {
  struct tc_bpf_target* target = current_target();
  if (!target) return 0;
  struct pt_regs* regs = (struct pt_regs*)bpf_task_pt_regs(bpf_get_current_task_btf());
  __u64 number = call_number(regs);
  at_exit(target, native_kind(number), ia32_kind(number), regs, PT_REGS_RC(ctx));
  return 0;
}

/* Sees the exit of every call: most are none of ours. */
SEC("tp_btf/sys_exit")
int BPF_PROG(tchaos_sysexit, struct pt_regs* regs, long result) {
  __u64 number = call_number(regs);
  __u32 native = native_kind(number);
  __u32 ia32 = ia32_kind(number);
  if (!native && !ia32) return 0;
  struct tc_bpf_target* target = current_target();
  if (target) at_exit(target, native, ia32, regs, result);
  return 0;
}

/* --- The exit of each function. --- */
#define FUNCTION_EXIT(name, function, kind, ia32)         \
  SEC("fexit/" #function)                                 \
  int BPF_PROG(name, struct pt_regs* regs, long result) { \
    if (!succeeded(kind, result)) return 0;               \
    struct tc_bpf_target* target = current_target();      \
    if (target) shift_call(target, kind, ia32, regs);     \
    return 0;                                             \
  }

FUNCTION_EXIT(tchaos_x_gett, __x64_sys_clock_gettime, CALL_CLOCK_GETTIME, false)
FUNCTION_EXIT(tchaos_x_gtod, __x64_sys_gettimeofday, CALL_GETTIMEOFDAY, false)
FUNCTION_EXIT(tchaos_x_adjx, __x64_sys_adjtimex, CALL_ADJTIMEX, false)
FUNCTION_EXIT(tchaos_x_adjt, __x64_sys_clock_adjtime, CALL_CLOCK_ADJTIME, false)
FUNCTION_EXIT(tchaos_x_info, __x64_sys_sysinfo, CALL_SYSINFO, false)

FUNCTION_EXIT(tchaos_i_gett, __ia32_sys_clock_gettime32, CALL_CLOCK_GETTIME32, true)
FUNCTION_EXIT(tchaos_i_gt64, __ia32_sys_clock_gettime, CALL_CLOCK_GETTIME, true)
FUNCTION_EXIT(tchaos_i_gtod, __ia32_compat_sys_gettimeofday, CALL_GETTIMEOFDAY32, true)
FUNCTION_EXIT(tchaos_i_adjx, __ia32_sys_adjtimex_time32, CALL_ADJTIMEX32, true)
FUNCTION_EXIT(tchaos_i_adjt, __ia32_sys_clock_adjtime32, CALL_CLOCK_ADJTIME32, true)
FUNCTION_EXIT(tchaos_i_at64, __ia32_sys_clock_adjtime, CALL_CLOCK_ADJTIME, true)
FUNCTION_EXIT(tchaos_i_info, __ia32_compat_sys_sysinfo, CALL_SYSINFO32, true)
