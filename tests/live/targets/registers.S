// void state_syscall(const struct state* before, struct state* after);
// void state_spin(const struct state* before, struct state* after);
//
// Loads every register a program has, its flags and its red zone from `before`, makes one system
// call (rax holds its number) or counts rcx down to 0, and stores everything into `after`. Whoever
// stops the thread in between and puts something back wrongly is found out.
//
// struct state (registers.c): rax rbx rcx rdx rsi rdi rbp r8..r15 at 0 to 112, flags at 120, the red
// zone at 128 (lowest address first), ymm0..15 at 256.
        .intel_syntax noprefix
        .text

.macro load_state
        push    rbx
        push    rbp
        push    r12
        push    r13
        push    r14
        push    r15
        push    rsi                     // `after`: at [rsp] from here on
        push    qword ptr [rdi + 120]
        popfq
        .irp slot, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        mov     rax, [rdi + 128 + 8 * \slot]
        mov     [rsp - 128 + 8 * \slot], rax
        .endr
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vmovdqu ymm\n, [rdi + 256 + 32 * \n]
        .endr
        mov     rax, [rdi]
        mov     rbx, [rdi + 8]
        mov     rcx, [rdi + 16]
        mov     rdx, [rdi + 24]
        mov     rsi, [rdi + 32]
        mov     rbp, [rdi + 48]
        mov     r8, [rdi + 56]
        mov     r9, [rdi + 64]
        mov     r10, [rdi + 72]
        mov     r11, [rdi + 80]
        mov     r12, [rdi + 88]
        mov     r13, [rdi + 96]
        mov     r14, [rdi + 104]
        mov     r15, [rdi + 112]
        mov     rdi, [rdi + 40]
.endm

.macro store_state
        lea     rsp, [rsp - 128]        // lea leaves the flags; below is free now
        pushfq
        push    rax
        cld
        mov     rax, [rsp + 144]        // `after`: 8 (rax) + 8 (flags) + 128
        mov     [rax + 8], rbx
        mov     [rax + 16], rcx
        mov     [rax + 24], rdx
        mov     [rax + 32], rsi
        mov     [rax + 40], rdi
        mov     [rax + 48], rbp
        mov     [rax + 56], r8
        mov     [rax + 64], r9
        mov     [rax + 72], r10
        mov     [rax + 80], r11
        mov     [rax + 88], r12
        mov     [rax + 96], r13
        mov     [rax + 104], r14
        mov     [rax + 112], r15
        pop     rcx
        mov     [rax], rcx
        pop     rcx
        mov     [rax + 120], rcx
        lea     rsp, [rsp + 128]
        .irp slot, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        mov     rcx, [rsp - 128 + 8 * \slot]
        mov     [rax + 128 + 8 * \slot], rcx
        .endr
        .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
        vmovdqu [rax + 256 + 32 * \n], ymm\n
        .endr
        vzeroupper
        pop     rsi
        pop     r15
        pop     r14
        pop     r13
        pop     r12
        pop     rbp
        pop     rbx
        ret
.endm

        .globl  state_syscall
        .type   state_syscall, @function
state_syscall:
        load_state
        syscall
        store_state
        .size   state_syscall, . - state_syscall

        .globl  state_spin
        .type   state_spin, @function
state_spin:
        load_state
1:      lea     rax, [rax + 1]          // neither lea nor loop changes the flags
        lea     rax, [rax - 1]
        loop    1b
        store_state
        .size   state_spin, . - state_spin

        .section .note.GNU-stack, "", @progbits
