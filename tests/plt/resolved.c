/* A library that chooses among functions itself: its slot has no name, and leads into the vDSO. */
#include <stdio.h>
#include <time.h>

typedef int (*clock_function)(clockid_t, struct timespec*);
extern clock_function vdso_clock_gettime; /* the program's */

static clock_function choose(void) {
  return vdso_clock_gettime;
}

__attribute__((visibility("hidden"), ifunc("choose"))) int chosen(clockid_t, struct timespec*);

void resolved(FILE* out);
void resolved(FILE* out) {
  struct timespec now = {0, 0};
  chosen(CLOCK_REALTIME, &now);
  fprintf(out, "resolved %lld\n", (long long)now.tv_sec);
}
