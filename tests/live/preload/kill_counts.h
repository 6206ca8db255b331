// What the preloaded library shares with the test that set it up: how many steps the program made,
// by kind. Plain C, included by the harness too.
#pragma once

#include <stdint.h>

struct kill_counts {
  uint64_t steps;  // all of the following
  uint64_t ptraces;
  uint64_t memory_writes;  // pwrite, pwrite64, process_vm_writev
  uint64_t waits;          // waitid, waitpid, wait4
};
