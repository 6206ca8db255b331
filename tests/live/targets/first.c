// first: no C library, no start files. Its first instructions read the wall clock by system call,
// then it prints "rt S.N mono S.N" and exits.
#include "bare.h"

// In front of `end`: `digits` of them, at least.
static char* number(char* end, uint32_t value, int digits) {
  while (digits-- > 0 || value != 0) {
    *--end = (char)('0' + value % 10);
    value /= 10;
  }
  return end;
}

static char* clock_text(char* end, const struct pair* reading, const char* name, int length) {
  end = number(end, (uint32_t)reading->nsec, 9);
  *--end = '.';
  end = number(end, (uint32_t)reading->sec, 1);
  *--end = ' ';
  while (length-- > 0) *--end = name[length];
  return end;
}

__attribute__((force_align_arg_pointer)) void _start(void) {
  struct pair wall = {0, 0}, mono = {0, 0};
  call(CLOCK_GETTIME, 0, (long)&wall, 0);
  call(CLOCK_GETTIME, 1, (long)&mono, 0);
  char line[96];
  char* const end = line + sizeof line;
  char* text = end;
  *--text = '\n';
  text = clock_text(text, &mono, "mono", 4);
  *--text = ' ';
  text = clock_text(text, &wall, "rt", 2);
  const long size = end - text;
  call(EXIT, call(WRITE, 1, (long)text, size) == size ? 0 : 1, 0, 0);
  for (;;) {
  }
}
