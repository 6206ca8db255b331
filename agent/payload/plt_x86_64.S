/* SPDX-License-Identifier: Apache-2.0 */
/* PLT mode: where the GOT slots of clock_gettime and syscall lead to. It stands in front of the slot
 * table, in a mapping of its own, so that a target without it has the room for other things.
 *
 * The hooks of hook_x86_64.S keep the vDSO's conventions; a C library's function has errno. So what
 * fails, or is not ours to map, is left to the C library's own function. (gettimeofday and time do not
 * fail: their slots lead to the hooks themselves.) The rules for this code are those of
 * hook_x86_64.S, the cleared return addresses included. */

.intel_syntax noprefix
.section .rodata.tc_plt, "a"

.globl tc_plt_begin
.balign 64
tc_plt_begin:

/* int clock_gettime(clockid_t, struct timespec *) */
.globl tc_plt_clock_gettime
tc_plt_clock_gettime:
    cmp     edi, 12
    jae     2f
    push    rdi
    push    rsi
    sub     rsp, 8
    call    [rip + tc_plt_hooks]
    mov     [rsp - 8], rax
    test    eax, eax
    jne     1f
    add     rsp, 24
    ret
1:  add     rsp, 8
    pop     rsi
    pop     rdi
2:  jmp     [rip + tc_plt_libc]

/* long syscall(long number, ...). The real call comes first: it alone can tell bad addresses, at which
 * the hooks would crash, from good ones. What it wrote is overwritten then, shifted by an engine for
 * system calls or not. */
.globl tc_plt_syscall
.balign 16
tc_plt_syscall:
    cmp     rdi, 228                /* clock_gettime */
    je      2f
    cmp     rdi, 96                 /* gettimeofday */
    je      3f
    cmp     rdi, 201                /* time */
    je      6f
1:  jmp     [rip + tc_plt_libc + 8]
2:  cmp     esi, 12
    jae     1b
3:  push    rdi
    push    rsi
    push    rdx
    call    [rip + tc_plt_libc + 8]
    mov     [rsp - 8], rax
    test    rax, rax
    jne     5f
    mov     rdi, [rsp + 8]
    mov     rsi, [rsp]
    cmp     dword ptr [rsp + 16], 96
    je      4f
    call    [rip + tc_plt_hooks]
    xor     eax, eax
    mov     [rsp - 8], rax
    add     rsp, 24
    ret
4:  call    [rip + tc_plt_hooks + 8]
    xor     eax, eax
    mov     [rsp - 8], rax
5:  add     rsp, 24
    ret
6:  push    rsi
    sub     rsp, 16
    call    [rip + tc_plt_libc + 8]
    mov     [rsp - 8], rax
    cmp     rax, -1
    je      7f
    mov     rdi, [rsp + 16]
    call    [rip + tc_plt_hooks + 16]
    mov     [rsp - 8], rax
7:  add     rsp, 24
    ret

/* Filled by the agent. */
.globl tc_plt_hooks
.balign 8
tc_plt_hooks:                       /* clock_gettime, gettimeofday, time in the code page */
    .quad   0, 0, 0
.globl tc_plt_libc
tc_plt_libc:                        /* the C library's clock_gettime, syscall */
    .quad   0, 0
.globl tc_plt_end
tc_plt_end:

.section .note.GNU-stack, "", @progbits
