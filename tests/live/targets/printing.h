// For targets that are families: a process that does nothing but print its clocks.
#pragma once

#include "reading.h"

// "ROLE PID rt S.N mono ..." every 20 ms.
static inline void print_for_ever(const char* role) {
  char prefix[64];
  snprintf(prefix, sizeof prefix, "%s %d ", role, (int)getpid());
  for (;;) {
    print_reading(prefix);
    sleep_ms(20);
  }
}
