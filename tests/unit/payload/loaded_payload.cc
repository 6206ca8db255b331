#include "tests/unit/payload/loaded_payload.h"

#include <cerrno>

// A caller that fills the callee-saved registers, and afterwards looks at them, at rsp and at what
// lies below it, before any C code can touch the stack.
//   void tc_test_call(void* function, uint64_t first, uint64_t second, Seen* seen)
// Offsets into Seen: result 0, saved_before 8, saved_after 56, rsp_before 104, rsp_after 112,
// below 120.
asm(R"(
.intel_syntax noprefix
.pushsection .bss
.balign 8
tc_test_rsp: .zero 8
.popsection
.pushsection .text
.globl tc_test_call
.type tc_test_call, @function
tc_test_call:
    push    rbp
    push    rbx
    push    r12
    push    r13
    push    r14
    push    r15
    sub     rsp, 24
    mov     [rsp], rcx
    mov     rax, rdi
    mov     rdi, rsi
    mov     rsi, rdx
    movabs  rbx, 0x1111111111111111
    movabs  rbp, 0x2222222222222222
    movabs  r12, 0x3333333333333333
    movabs  r13, 0x4444444444444444
    movabs  r14, 0x5555555555555555
    movabs  r15, 0x6666666666666666
    mov     [rcx + 8], rbx
    mov     [rcx + 16], rbp
    mov     [rcx + 24], r12
    mov     [rcx + 32], r13
    mov     [rcx + 40], r14
    mov     [rcx + 48], r15
    mov     [rcx + 104], rsp
    mov     [rip + tc_test_rsp], rsp
    call    rax
    mov     rdx, rsp
    mov     rsp, [rip + tc_test_rsp]
    mov     rcx, [rsp]
    mov     [rcx], rax
    mov     [rcx + 56], rbx
    mov     [rcx + 64], rbp
    mov     [rcx + 72], r12
    mov     [rcx + 80], r13
    mov     [rcx + 88], r14
    mov     [rcx + 96], r15
    mov     [rcx + 112], rdx
    lea     rsi, [rsp - 512]
    lea     rdi, [rcx + 120]
    mov     ecx, 64
    cld
    rep     movsq
    add     rsp, 24
    pop     r15
    pop     r14
    pop     r13
    pop     r12
    pop     rbx
    pop     rbp
    ret
.size tc_test_call, . - tc_test_call
.popsection
.att_syntax prefix
)");

extern "C" void tc_test_call(void* function, uint64_t first, uint64_t second,
                             time_chaos::test::Seen* seen);

namespace time_chaos::test {
namespace {

static_assert(offsetof(Seen, saved_before) == 8 && offsetof(Seen, saved_after) == 56 &&
              offsetof(Seen, rsp_before) == 104 && offsetof(Seen, below) == 120);

MockClock& the_mock() {
  static MockClock mock;  // the function below has no other way to reach it
  return mock;
}

// In place of the real clock_gettime. Leaves nothing in the registers that it may change.
extern "C" int tc_test_original(int clock, timespec* into) {
  MockClock& mock = the_mock();
  mock.calls++;
  mock.last_clock = clock;
  if (mock.error == 0) *into = {mock.sec, mock.nsec};
  const int result = mock.error;
  if (mock.then) mock.then();
  asm volatile(
      "mov $-1, %%rcx; mov $-2, %%rdx; mov $-3, %%rsi; mov $-4, %%rdi;"
      "mov $-5, %%r8; mov $-6, %%r9; mov $-7, %%r10; mov $-8, %%r11" ::
          : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11");
  return result;
}

}  // namespace

MockClock& LoadedPayload::mock() const {
  return the_mock();
}

// movabs rax, tc_test_original; jmp rax
void LoadedPayload::put_original() const {
  the_mock() = {};
  uint8_t* at = code_ + payload::original_offset();
  const auto target = reinterpret_cast<uint64_t>(&tc_test_original);
  at[0] = 0x48;
  at[1] = 0xb8;
  std::memcpy(at + 2, &target, sizeof target);
  at[10] = 0xff;
  at[11] = 0xe0;
}

Seen LoadedPayload::call_watched(payload::Function function, uint64_t first,
                                 uint64_t second) const {
  Seen seen;
  tc_test_call(code_ + payload::hook_offset(function), first, second, &seen);
  return seen;
}

}  // namespace time_chaos::test
