// Reads clocks when it is asked to: for every line on its standard input it prints one line of
// NAME=VALUE, where VALUE is in nanoseconds, or !ERRNO.
//
//   clocks    every clock id, by system call (sys_ID) and through the C library (libc_ID)
//   tables    the times that other calls report: adjtimex, clock_adjtime, sysinfo
//   child     like clocks, read by a forked child
//   exec      like clocks, read after the program executed itself again
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define WAYS_RAW
#define WAYS_LIBC
#include "ways.h"

static void say(const char* name, int id, int64_t value) {
  if (id < 0) {
    printf("%s=", name);
  } else {
    printf("%s_%d=", name, id);
  }
  if (value == INT64_MIN) {
    printf("!%d ", errno);
  } else {
    printf("%lld ", (long long)value);
  }
}

// struct timex (uapi/linux/timex.h), with mode 0: asks only. Its time is in microseconds unless
// STA_NANO.
static int64_t timex_time(const char* buffer, size_t time_at, size_t status_at, int wide) {
  const int kNano = 0x2000;
  int64_t sec, frac;
  int status;
  if (wide) {
    memcpy(&sec, buffer + time_at, 8);
    memcpy(&frac, buffer + time_at + 8, 8);
  } else {
    int32_t parts[2];
    memcpy(parts, buffer + time_at, 8);
    sec = parts[0], frac = parts[1];
  }
  memcpy(&status, buffer + status_at, 4);
  return sec * SECOND + (status & kNano ? frac : frac * 1000);
}

static void tables(void) {
  char buffer[512] = {0};
  const int wide = sizeof(long) == 8;
  const size_t time_at = wide ? 72 : 36, status_at = wide ? 40 : 20;
  long failed = syscall(SYS_adjtimex, buffer) < 0;
  say("adjtimex", -1, failed ? INT64_MIN : timex_time(buffer, time_at, status_at, wide));
  memset(buffer, 0, sizeof buffer);
  failed = syscall(SYS_clock_adjtime, CLOCK_REALTIME, buffer) < 0;
  say("clock_adjtime", -1, failed ? INT64_MIN : timex_time(buffer, time_at, status_at, wide));
#ifdef SYS_clock_adjtime64
  memset(buffer, 0, sizeof buffer);
  failed = syscall(SYS_clock_adjtime64, CLOCK_REALTIME, buffer) < 0;
  say("clock_adjtime64", -1, failed ? INT64_MIN : timex_time(buffer, 72, 40, 1));
#endif
  memset(buffer, 0, sizeof buffer);
  long uptime = 0;
  failed = syscall(SYS_sysinfo, buffer) < 0;
  memcpy(&uptime, buffer, sizeof uptime);
  say("sysinfo", -1, failed ? INT64_MIN : uptime * SECOND);
}

static void clocks(void) {
  for (int id = 0; id <= CLOCK_TAI; ++id) {
    if (id == 10) continue;  // no such clock any more
    say("sys", id, sys_clock64(id));
    say("libc", id, libc_clock(id));
  }
}

static void in_child(void) {
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    clocks();
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
}

static void in_new_program(char** argv) {
  char* again[] = {argv[0], "executed", NULL};
  execv("/proc/self/exe", again);
}

int main(int argc, char** argv) {
  char line[64];
  setvbuf(stdin, NULL, _IONBF, 0);  // nothing is lost when it executes itself
  setvbuf(stdout, NULL, _IOFBF, 8192);
  if (argc > 1) clocks();
  puts(argc > 1 ? "" : "ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    if (strcmp(line, "clocks\n") == 0) clocks();
    if (strcmp(line, "tables\n") == 0) tables();
    if (strcmp(line, "child\n") == 0) in_child();
    if (strcmp(line, "exec\n") == 0) in_new_program(argv);
    puts("");
    fflush(stdout);
  }
  return 0;
}
