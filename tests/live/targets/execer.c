// execer PAUSE_US: prints its generation and clocks, then executes itself again, for ever: an agent
// that attaches finds another program than the one it looked at.
#define _GNU_SOURCE
#include <stdlib.h>

#include "reading.h"

int main(int argc, char** argv) {
  unsigned pause_us = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
  long generation = argc > 2 ? atol(argv[2]) : 0;
  char prefix[64], next[32], pause[32];
  snprintf(prefix, sizeof prefix, "generation %ld ", generation);
  print_reading(prefix);
  usleep(pause_us);
  snprintf(next, sizeof next, "%ld", generation + 1);
  snprintf(pause, sizeof pause, "%u", pause_us);
  execl("/proc/self/exe", "execer", pause, next, (char*)NULL);
  return 2;
}
