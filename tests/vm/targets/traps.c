// Calls that programs make by mistake or for effect: bad clock ids, pointers to nowhere, clocks
// that are none of our business. For every line on its standard input it makes all of them and
// prints what came of each; shifted or not, it must print the same.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define WAYS_RAW
#define WAYS_LIBC
#include "ways.h"

static sigjmp_buf crashed;

static void on_crash(int signal) {
  siglongjmp(crashed, signal);
}

// Volatile: the compiler knows that these must not be null.
static void* volatile nowhere;
static char *read_only, *last_bytes;

static void say(const char* call, int which, long result) {
  printf("%s(%d)=%ld/%d ", call, which, result, result < 0 ? errno : 0);
}

static void system_calls(void) {
  static const int ids[] = {-1, -2, -6, 10, 12, 16, 1000, 0x7fffffff, -0x7fffffff};
  char buffer[64], filled[64];
  memset(filled, 0x5a, sizeof filled);
  for (unsigned i = 0; i < sizeof ids / sizeof ids[0]; ++i) {
    memset(buffer, 0x5a, sizeof buffer);
    long result = syscall(SYS_clock_gettime, ids[i], buffer);
    say("clock_gettime", ids[i], result);
    printf("%s ", memcmp(buffer, filled, sizeof buffer) ? "written" : "kept");
  }
  void* bad[] = {NULL, (void*)16, read_only, last_bytes, (void*)-4096L};
  for (int i = 0; i < 5; ++i) {
    say("clock_gettime to", i, syscall(SYS_clock_gettime, CLOCK_REALTIME, bad[i]));
    say("gettimeofday to", i, syscall(SYS_gettimeofday, bad[i], NULL));
    say("gettimeofday zone to", i, syscall(SYS_gettimeofday, NULL, bad[i]));
    if (i) say("time to", i, syscall(SYS_time, bad[i]) < 0 ? -1 : 1);
    say("adjtimex to", i, syscall(SYS_adjtimex, bad[i]));
    say("sysinfo to", i, syscall(SYS_sysinfo, bad[i]));
  }
  say("clock_getres", 0, syscall(SYS_clock_getres, CLOCK_REALTIME, NULL));
  printf("%s ", memcmp(read_only, filled, 16) ? "written" : "kept");
}

static long library_call(int which, void* at) {
  switch (which) {
    case 0:
      return clock_gettime(CLOCK_REALTIME, at);
    case 1:
      return clock_gettime(1000, at);
    case 2:
      return gettimeofday(at, NULL);
    default:
      return time(at) > 0;
  }
}

static void try_library_call(int which, int bad, void* at) {
  int signal = sigsetjmp(crashed, 1);
  if (signal == 0) {
    say("library", which * 10 + bad, library_call(which, at));
  } else {
    printf("library(%d) died of %d ", which * 10 + bad, signal);
  }
}

static void library_calls(void) {
  void* bad[] = {nowhere, read_only, last_bytes};
  for (int which = 0; which < 4; ++which)
    for (int i = 0; i < 3; ++i) try_library_call(which, i, bad[i]);
}

// Time that this thread used: small, and not shifted.
static void own_time(void) {
  const int ids[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, -2, -6};
  for (int i = 0; i < 4; ++i) {
    int64_t used = sys_clock(ids[i]), library = libc_clock(ids[i]);
    printf("cpu(%d)%s ", ids[i],
           used > 0 && used < 100 * SECOND && library > 0 && library < 100 * SECOND ? "=ok" : "=?");
  }
}

int main(void) {
  char line[16];
  struct sigaction action = {.sa_handler = on_crash};
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
  char* pages = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return 3;
  memset(pages, 0x5a, 8192);
  mprotect(pages, 4096, PROT_READ);
  munmap(pages + 8192, 4096);
  read_only = pages;
  last_bytes = pages + 8192 - 8;  // half of a structure fits
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    system_calls();
    library_calls();
    own_time();
    puts("");
    fflush(stdout);
  }
  return 0;
}
