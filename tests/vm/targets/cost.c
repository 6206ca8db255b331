// Measures what a call costs. For every line "ROUNDS CALLS" on its standard input it prints the ns
// per call of each round: "sys_clock_gettime N N N... getppid N N N... clock_gettime N N N..." (the
// last through the vDSO), and "capable": a call that asks for a capability and does nothing else.
#include <stdio.h>
#include <stdlib.h>

#define WAYS_RAW
#define WAYS_LIBC
#include "ways.h"

static void one_getppid(void) {
  syscall(SYS_getppid);
}
// With a magic number that is none, the kernel refuses when it has asked for CAP_SYS_BOOT.
static void one_capable(void) {
  syscall(SYS_reboot, 0, 0, 0, NULL);
}
static void one_sys(void) {
  sys_realtime();
}
static void one_libc(void) {
  libc_realtime();
}

static void measure(const char* name, void (*call)(void), int rounds, int calls) {
  printf("%s ", name);
  for (int round = 0; round < rounds; ++round) {
    // CLOCK_MONOTONIC, twice a round: nobody shifts it here.
    int64_t began = libc_clock(CLOCK_MONOTONIC);
    for (int i = 0; i < calls; ++i) call();
    printf("%.1f ", (double)(libc_clock(CLOCK_MONOTONIC) - began) / calls);
  }
}

int main(void) {
  char line[64];
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    int rounds = 0, calls = 0;
    if (sscanf(line, "%d %d", &rounds, &calls) != 2 || rounds < 1 || calls < 1) return 2;
    measure("sys_clock_gettime", one_sys, rounds, calls);
    measure("getppid", one_getppid, rounds, calls);
    measure("clock_gettime", one_libc, rounds, calls);
    measure("capable", one_capable, rounds, calls);
    puts("");
    fflush(stdout);
  }
  return 0;
}
