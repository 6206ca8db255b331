/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Hides the vDSO from a program that has just been exec'd: its auxiliary vector is on the new
 * stack, and nobody has read it yet (create_elf_tables, fs/binfmt_elf.c): argc, argv..., NULL,
 * environment..., NULL, (type, value)..., (AT_NULL, 0) */
#ifndef TIME_CHAOS_BPF_AUXV_H
#define TIME_CHAOS_BPF_AUXV_H

#include "kernel.h"

/* include/uapi/linux/auxvec.h, arch/x86/include/uapi/asm/auxvec.h */
#define AT_NULL 0
#define AT_IGNORE 1
#define AT_SYSINFO 32 /* of 32-bit programs */
#define AT_SYSINFO_EHDR 33

#define AUXV_MOST 32 /* entries looked at; the vDSO's are the first */

static __always_inline bool hides(__u64 type) {
  return type == AT_SYSINFO || type == AT_SYSINFO_EHDR;
}

/* False: the program can still find its vDSO. */
static __always_inline bool hide_vdso(struct linux_binprm* program) {
  __u64 at = BPF_CORE_READ(program, p);
  __u64 argc = (__u32)BPF_CORE_READ(program, argc);
  __u64 envc = (__u32)BPF_CORE_READ(program, envc);
  __u64 first;
  if (bpf_probe_read_user(&first, sizeof first, (void*)at)) return false;
  /* A 64-bit program's argc takes up eight bytes; behind a 32-bit program's is its argv[0]. */
  bool wide = first == argc;
  if (!wide && (__u32)first != argc) return false;
  at += (argc + envc + 3) * (wide ? 8 : 4);
  for (int i = 0; i < AUXV_MOST; i++) {
    __u64 type = 0;
    if (bpf_probe_read_user(&type, wide ? 8 : 4, (void*)at)) return false;
    if (type == AT_NULL) return true;
    if (hides(type)) {
      type = AT_IGNORE;
      if (bpf_probe_write_user((void*)at, &type, wide ? 8 : 4)) return false;
    }
    at += wide ? 16 : 8;
  }
  return true;
}

#endif
