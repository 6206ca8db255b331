/* SPDX-License-Identifier: Apache-2.0 */
/* The payload for x86-64: what a target runs instead of the three vDSO clock functions.
 *
 * Assembly because the budget is a few nanoseconds (gcc's C costs twice as much); the arithmetic
 * is tc_map_apply() of abi/clock_map.h, to which a property test holds it bit for bit. Schedules are
 * rare and long: they are compiled from that C (scheduled.c), under the rules below, and included.
 *
 * The agent copies [tc_payload_begin, tc_payload_end) to the start of the code page, fills the
 * slot at tc_payload_original with the relocated prologue of the real clock_gettime, and maps the
 * clock page right behind (abi/clock_page.h). Everything is relative to rip.
 *
 * Rules for this code: it runs on any stack (signal stacks, Go's), so it uses little of it; no
 * red zone, no TLS, general registers only; rbp stays a frame pointer for profilers; calls and
 * returns are balanced (shadow stacks). It holds no lock and may be interrupted anywhere. It clears
 * the one return address into itself that it leaves below the stack pointer: the recovering agent
 * looks for such addresses to learn whether the code page is still in use, and the real vDSO's
 * frames have slots that are never written. */

.intel_syntax noprefix
.section .rodata.tc_payload, "a"

.set PAGE, tc_payload_begin + 0x1000
.set MAPS, PAGE
.set LATCH, PAGE + 1548
.set TIMEZONE, PAGE + 1552
.set TABLE, PAGE + 1648
.set COPY_STRIDE, 2048

.set MAP_KIND, 0
.set MAP_CARRY_NSEC, 4
.set MAP_FAKE_SEC, 8
.set MAP_FAKE_NSEC, 16
.set MAP_REAL_SEC, 24
.set MAP_REAL_NSEC, 32
.set MAP_RATE, 40
.set MAP_RATE_SEC, 48
.set MAP_UNTIL_SEC, 56
.set MAP_UNTIL_NSEC, 64
.set MAP_AFTER_SEC, 72
.set MAP_AFTER_NSEC, 80
.set MAP_BEFORE, 88             /* as MAP_RATE, MAP_RATE_SEC */

.set LAST_SEC, 9223372035

/* Reads the real clock edi into [rbx] and leaves what the target shall see in rcx (seconds) and
 * rdx (nanoseconds); eax is 0. `index` is a macro that adds the map's offset in its copy to r12. Goes to
 * \fail with the error in eax when the real clock_gettime fails. Uses r12 (the map) and r13 (the
 * latch). The chain from the latch to the map is short, because rdtscp in the real function waits
 * for all that comes before it. */
.macro read_shifted index, fail
1:  mov     r13d, [rip + LATCH]
    lea     r12, [rip + MAPS]
    \index
    mov     rsi, rbx
    mov     eax, COPY_STRIDE
    and     eax, r13d
    add     r12, rax
    call    tc_payload_original
    mov     [rsp - 8], rax          /* no old return address may look like a live one: see above */
    test    eax, eax
    jne     \fail
    mov     rcx, [rbx]
    mov     rdx, [rbx + 8]
    cmp     rcx, [r12 + MAP_UNTIL_SEC]
    jge     20f
2:  cmp     edx, [r12 + MAP_CARRY_NSEC]
    jae     25f                     /* a carry, or no plain offset */
    add     rcx, [r12 + MAP_FAKE_SEC]
    add     rdx, [r12 + MAP_FAKE_NSEC]
4:  cmp     r13d, [rip + LATCH]
    jne     50f
.endm

/* The rare branches of read_shifted, out of the hot path. `reload` is a macro that restores edi
 * for another round: the maps have changed since this one began. */
.macro read_shifted_rest reload
20: jne     21f                     /* later than the second in which the map ends */
    cmp     rdx, [r12 + MAP_UNTIL_NSEC]
    jl      2b
21: add     rcx, [r12 + MAP_AFTER_SEC]
    add     rdx, [r12 + MAP_AFTER_NSEC]
    jmp     3f
25: cmp     dword ptr [r12 + MAP_KIND], 1
    jne     29f
    mov     r9, [r12 + MAP_REAL_SEC] /* in the order of what waits for the reading */
    imul    r9, r9, 1000000000
    add     r9, [r12 + MAP_REAL_NSEC]
    imul    rcx, rcx, 1000000000
    sub     rdx, r9
    add     rcx, rdx                /* delta, ns */
    js      31f
    mov     rax, [r12 + MAP_RATE_SEC]
    imul    rcx
    mov     rsi, rdx                /* whole seconds, estimated */
    imul    rdi, rdx, -1000000000
    mov     rax, [r12 + MAP_RATE]
    imul    rcx
26: shr     rax, 32                 /* delta * rate, exact; shrd takes longer */
    shl     rdx, 32
    add     rax, [r12 + MAP_FAKE_NSEC]
    add     rax, rdx
    lea     rdx, [rax + rdi]
    mov     rcx, [r12 + MAP_FAKE_SEC]
    add     rcx, rsi
    cmp     rdx, 999999999
    ja      32f                     /* below 0, or above it */
27: mov     rsi, LAST_SEC
    cmp     rcx, rsi
    ja      35f                     /* likewise */
    xor     eax, eax
    jmp     4b
29: cmp     dword ptr [r12 + MAP_KIND], 0
    jne     36f
    add     rcx, [r12 + MAP_FAKE_SEC]
    add     rdx, [r12 + MAP_FAKE_NSEC]
    jmp     3f
31: mov     rax, [r12 + MAP_BEFORE + 8]
    imul    rcx
    mov     rsi, rdx
    imul    rdi, rdx, -1000000000
    mov     rax, [r12 + MAP_BEFORE]
    imul    rcx
    jmp     26b
32: test    rdx, rdx
    jns     34f
    add     rdx, 1000000000
    dec     rcx
    jmp     32b
33: sub     rdx, 1000000000
    inc     rcx
34: cmp     rdx, 999999999
    jg      33b
    jmp     27b
35: xor     eax, eax
    xor     edx, edx
    test    rcx, rcx
    mov     ecx, 0
    js      4b
    mov     rcx, rsi
    mov     edx, 999999999
    jmp     4b
36: mov     rdi, r12
    lea     rsi, [rip + TABLE]
    mov     eax, COPY_STRIDE
    and     eax, r13d
    add     rsi, rax
    xchg    rdx, rcx                /* seconds, nanoseconds; so they come back in rax, rdx */
    call    tc_payload_scheduled
    mov     rcx, rax
    xor     eax, eax
    mov     [rsp - 8], rax          /* see above */
    jmp     4b
40: sub     rdx, 1000000000
    inc     rcx
3:  cmp     rdx, 999999999
    jg      40b
    xor     eax, eax
    jmp     4b
50: \reload
    jmp     1b
.endm

/* clock_gettime keeps the clock id on the stack; a map is 128 bytes. */
.macro index_any
    mov     edx, edi
    shl     edx, 7
    add     r12, rdx
.endm
.macro reload_any
    mov     edi, [rsp]
.endm
/* The others read through REALTIME's map, the first. */
.macro index_realtime
.endm
.macro reload_realtime
    xor     edi, edi
.endm
.macro reload_coarse
    mov     edi, 5
.endm

.globl tc_payload_begin
.balign 64
tc_payload_begin:

/* int clock_gettime(clockid_t, struct timespec *) */
.globl tc_payload_clock_gettime
tc_payload_clock_gettime:
    cmp     edi, 12
    jae     tc_payload_original     /* negative, dynamic, auxiliary: not ours */
    push    rbp
    mov     rbp, rsp
    push    rbx
    push    r12
    push    r13
    push    rdi                     /* for another round; and aligns the stack */
    mov     rbx, rsi
    read_shifted index_any, 9f
    mov     [rbx], rcx
    mov     [rbx + 8], rdx
9:  add     rsp, 8
    pop     r13
    pop     r12
    pop     rbx
    pop     rbp
    ret
    read_shifted_rest reload_any

/* int gettimeofday(struct timeval *, struct timezone *): REALTIME, in microseconds. */
.globl tc_payload_gettimeofday
.balign 64
tc_payload_gettimeofday:
    push    rbp
    mov     rbp, rsp
    push    rbx
    push    r12
    push    r13
    push    r14
    push    r15
    sub     rsp, 24
    mov     r14, rdi
    mov     r15, rsi
    test    rdi, rdi
    je      65f
    mov     rbx, rsp
    xor     edi, edi
    read_shifted index_realtime, 9f
    imul    rdx, rdx, 274877907     /* / 1000, exact below 2^30: (n * 274877907) >> 38 */
    shr     rdx, 38
    mov     [r14], rcx
    mov     [r14 + 8], rdx
    test    r15, r15
    jne     60f
9:  add     rsp, 24
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     rbx
    pop     rbp
    ret
60: mov     rax, [rip + TIMEZONE]   /* two ints: minuteswest, dsttime */
    mov     [r15], rax
    xor     eax, eax
    jmp     9b
65: xor     eax, eax                /* no tv */
    test    r15, r15
    jne     60b
    jmp     9b
    read_shifted_rest reload_realtime

/* time_t time(time_t *): the seconds of REALTIME_COARSE, as the kernel does it, through
 * REALTIME's map. */
.globl tc_payload_time
.balign 64
tc_payload_time:
    push    rbp
    mov     rbp, rsp
    push    rbx
    push    r12
    push    r13
    push    r14
    sub     rsp, 16
    mov     r14, rdi
    mov     rbx, rsp
    mov     edi, 5
    read_shifted index_realtime, 90f
    mov     rax, rcx
    test    r14, r14
    je      9f
    mov     [r14], rax
9:  add     rsp, 16
    pop     r14
    pop     r13
    pop     r12
    pop     rbx
    pop     rbp
    ret
90: cdqe                            /* the original's error is an int, time's result is not */
    jmp     9b
    read_shifted_rest reload_coarse

/* struct { sec, nsec } scheduled(map, table, sec, nsec). */
.balign 16
.include "scheduled_x86_64.s"

/* The relocated prologue of the real clock_gettime and the jump behind it; filled by the agent.
 * int3 until then. */
.globl tc_payload_original
.balign 64
tc_payload_original:
    .fill   64, 1, 0xcc

.globl tc_payload_end
tc_payload_end:

.section .note.GNU-stack, "", @progbits
