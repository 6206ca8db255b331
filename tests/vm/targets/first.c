// Reads the clock with its very first instructions: no C library, nothing before.
#include "../../live/targets/bare.h"

__attribute__((noreturn, force_align_arg_pointer)) void _start(void) {
  struct pair now;
  char text[64] = "now first ";
  call(CLOCK_GETTIME, 0, (long)&now, 0);
  int64_t ns = now.sec * 1000000000 + now.nsec;
  int end = 10 + 19;
  for (int i = end - 1; i >= 10; i--, ns /= 10) text[i] = (char)('0' + ns % 10);
  text[end++] = '\n';
  call(WRITE, 1, (long)text, end);
  for (;;) call(EXIT, 0, 0, 0);
}
