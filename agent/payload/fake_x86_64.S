/* SPDX-License-Identifier: Apache-2.0 */
/* A clock of the user's own (--fake): where the vDSO's functions lead to, and how one thread of the
 * target is made to call its loader.
 *
 * A page of code; behind it pages that the target can write to: the call (fake_call.h), room for vector
 * registers, a stack, and the library's bytes (fake.h). */

.intel_syntax noprefix
.section .rodata.tc_fake, "a"

.set CALL, tc_fake_begin + 0x1000
.set CALL_HOME, CALL
.set CALL_INTERRUPTED, CALL + 8
.set CALL_MASK, CALL + 16
.set CALL_PENDING, CALL + 24
.set CALL_SAVED, CALL + 32
.set CALL_STATE, CALL + 112
.set VECTORS, CALL + 0x1000
.set STACK_END, CALL + 0x45000

.set BEGUN, 1
.set DONE, 2
.set LEAVING, 3

.set PAGE_LATCH, 1548           /* abi/clock_page.h */
.set PAGE_UNTIL_SEC, 56         /* of CLOCK_REALTIME's map */
.set COPY_STRIDE, 2048

/* The library is asked while it is to be (one byte says so) and the lease lasts; else our hooks of
 * the code page, which show real time. `original` is the register of the argument that it gets in
 * addition. The words below the stack pointer are cleared when it is back: who recovers looks for
 * addresses in it there, and must not find old ones. */
.macro route index, original
    cmp     byte ptr [rip + tc_fake_on], 0
    je      9f
    push    rdi
    push    rsi
    sub     rsp, 24
    mov     edi, 5              /* CLOCK_REALTIME_COARSE */
    mov     rsi, rsp
    call    [rip + tc_fake_real]
    mov     [rsp - 8], rax
    mov     rcx, [rsp]
    add     rsp, 24
    pop     rsi
    pop     rdi
    mov     rdx, [rip + tc_fake_page]
    mov     eax, [rdx + PAGE_LATCH]
    and     eax, COPY_STRIDE
    cmp     rcx, [rdx + rax + PAGE_UNTIL_SEC]
    jge     9f
    lea     \original, [rip + tc_fake_original]
    sub     rsp, 8
    call    [rip + tc_fake_library + 8 * \index]
    mov     ecx, 40
8:  mov     qword ptr [rsp + 8 * rcx - 328], 0
    dec     ecx
    jne     8b
    add     rsp, 8
    ret
9:  jmp     [rip + tc_fake_original + 8 * \index]
.endm

.globl tc_fake_begin
.balign 64
tc_fake_begin:

/* int clock_gettime(clockid_t, struct timespec *) */
.globl tc_fake_clock_gettime
tc_fake_clock_gettime:
    route   0, rdx
/* int gettimeofday(struct timeval *, struct timezone *) */
.globl tc_fake_gettimeofday
.balign 16
tc_fake_gettimeofday:
    route   1, rdx
/* time_t time(time_t *) */
.globl tc_fake_time
.balign 16
tc_fake_time:
    route   2, rsi

/* For a thread that was in a system call: the kernel steps back from tc_fake_restart to tc_fake_enter,
 * as it would to the system call instruction; or, when it delivers a signal, stays, with the EINTR in
 * rax. One that comes from user mode, so to speak, with its call rewound, starts at tc_fake_enter.
 *
 * The call is made on a stack of its own and with all signals blocked; every register, flags and
 * vectors included, is as before afterwards. It needs nobody: the agent may be killed at any
 * moment. While that lives, it takes the thread out of tc_fake_wait and leaves to the kernel what
 * becomes of the system call. Else the thread makes it anew, or lets it be interrupted when a signal
 * is waiting by now. */
.globl tc_fake_enter
.balign 16
tc_fake_enter:
    jmp     short 1f
.globl tc_fake_restart
tc_fake_restart:
    jmp     [rip + CALL_INTERRUPTED]
1:  mov     [rip + CALL_SAVED], rax
    mov     [rip + CALL_SAVED + 8], rcx
    mov     [rip + CALL_SAVED + 16], rdx
    mov     [rip + CALL_SAVED + 24], rsi
    mov     [rip + CALL_SAVED + 32], rdi
    mov     [rip + CALL_SAVED + 40], r8
    mov     [rip + CALL_SAVED + 48], r9
    mov     [rip + CALL_SAVED + 56], r10
    mov     [rip + CALL_SAVED + 64], r11
    mov     [rip + CALL_SAVED + 72], rsp
    lea     rsp, [rip + STACK_END]
    pushfq
    sub     rsp, 8
    cld
    mov     eax, 14             /* rt_sigprocmask(SIG_SETMASK, all, NULL, 8) */
    mov     edi, 2
    lea     rsi, [rip + tc_fake_all_signals]
    xor     edx, edx
    mov     r10d, 8
    syscall
    mov     dword ptr [rip + CALL_STATE], BEGUN
    mov     eax, -1
    mov     edx, -1
    xsave64 [rip + VECTORS]
    lea     rdi, [rip + CALL]
    call    tc_fake_work
    mov     eax, -1
    mov     edx, -1
    xrstor64 [rip + VECTORS]
    mov     dword ptr [rip + CALL_STATE], DONE
    lea     rdi, [rip + CALL]
    call    tc_fake_wait
    mov     dword ptr [rip + CALL_STATE], LEAVING
    mov     eax, 127            /* rt_sigpending(CALL_PENDING, 8) */
    lea     rdi, [rip + CALL_PENDING]
    mov     esi, 8
    syscall
    mov     rax, [rip + CALL_MASK]
    not     rax
    test    rax, [rip + CALL_PENDING]
    je      3f
    mov     rax, [rip + CALL_INTERRUPTED]
    mov     [rip + CALL_HOME], rax
    mov     qword ptr [rip + CALL_SAVED], -4    /* -EINTR */
3:  mov     eax, 14             /* rt_sigprocmask(SIG_SETMASK, CALL_MASK, NULL, 8) */
    mov     edi, 2
    lea     rsi, [rip + CALL_MASK]
    xor     edx, edx
    mov     r10d, 8
    syscall
    add     rsp, 8
    popfq
    mov     rax, [rip + CALL_SAVED]
    mov     rcx, [rip + CALL_SAVED + 8]
    mov     rdx, [rip + CALL_SAVED + 16]
    mov     rsi, [rip + CALL_SAVED + 24]
    mov     rdi, [rip + CALL_SAVED + 32]
    mov     r8, [rip + CALL_SAVED + 40]
    mov     r9, [rip + CALL_SAVED + 48]
    mov     r10, [rip + CALL_SAVED + 56]
    mov     r11, [rip + CALL_SAVED + 64]
    mov     rsp, [rip + CALL_SAVED + 72]
    jmp     [rip + CALL_HOME]

/* int64_t tc_fake_system_call(int64_t number, uint64_t a, uint64_t b, uint64_t c) */
.balign 16
tc_fake_system_call:
    mov     rax, rdi
    mov     rdi, rsi
    mov     rsi, rdx
    mov     rdx, rcx
    syscall
    ret

.balign 16
.include "fake_work_x86_64.s"

.globl tc_fake_data
.balign 8
tc_fake_data:
tc_fake_all_signals:
    .quad   -1
/* Filled by the agent (fake.h, FakeData). */
tc_fake_real:                       /* the real clock_gettime, relocated */
    .quad   0
tc_fake_page:                       /* the clock page */
    .quad   0
tc_fake_original:                   /* struct time_chaos_original: the hooks of the code page */
    .quad   0, 0, 0
tc_fake_library:                    /* the library's functions */
    .quad   0, 0, 0
tc_fake_on:
    .quad   0
.globl tc_fake_end
tc_fake_end:

.section .note.GNU-stack, "", @progbits
