// Reads the clock with its very first instructions: no C library, nothing before.
#include <stdint.h>

struct sec_nsec {
  int64_t sec, nsec;
};

static long call(long number, long first, long second, long third) {
  long result;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "0"(number), "D"(first), "S"(second), "d"(third)
                   : "rcx", "r11", "memory");
  return result;
}

__attribute__((noreturn, force_align_arg_pointer)) void _start(void) {
  struct sec_nsec now;
  char text[64] = "now first ";
  call(228, 0, (long)&now, 0);
  int64_t ns = now.sec * 1000000000 + now.nsec;
  int end = 10 + 19;
  for (int i = end - 1; i >= 10; i--, ns /= 10) text[i] = (char)('0' + ns % 10);
  text[end++] = '\n';
  call(1, 1, (long)text, end);
  for (;;) call(60, 0, 0, 0);
}
