// Reads the wall clock once in every way that it has, first of all, and prints what it read:
//   now WAY NANOSECONDS
#include <stdio.h>

#include "ways.h"

int main(void) {
  int64_t readings[kWays];
  for (int i = 0; i < kWays; ++i) readings[i] = ways[i].read();
  for (int i = 0; i < kWays; ++i) printf("now %s %lld\n", ways[i].name, (long long)readings[i]);
  return 0;
}
