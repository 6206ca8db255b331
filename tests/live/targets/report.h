// What a torture target reports while it runs: a file that it shares with the test through a
// mapping, so that reporting costs no system call. Plain C, included by the harness too; all
// fields are accessed with the __atomic builtins.
#pragma once

#include <stdint.h>

enum {
  LIVE_SLOTS = 64,   // threads that publish samples
  LIVE_OFFSETS = 4,  // offsets that are right at one time
};

// Bits of live_report.bad_bits: what a target found wrong.
enum live_bad {
  LIVE_BAD_RANGE = 1,       // tv_nsec not in [0, 1e9), or tv_usec not in [0, 1e6)
  LIVE_BAD_BACKWARDS = 2,   // CLOCK_MONOTONIC stepped back within one thread
  LIVE_BAD_REALTIME = 4,    // clock_gettime(REALTIME) is off by none of the allowed offsets
  LIVE_BAD_GTOD = 8,        // the same for gettimeofday
  LIVE_BAD_TIME = 16,       // the same for time
  LIVE_BAD_ERRNO = 32,      // a successful call changed errno, or returned other than 0
  LIVE_BAD_REGISTER = 64,   // a general register
  LIVE_BAD_FLAGS = 128,     // CF, PF, AF, ZF, SF, DF, OF
  LIVE_BAD_RED_ZONE = 256,  // the 128 bytes below the stack pointer
  LIVE_BAD_VECTOR = 512,    // ymm0 to ymm15
  LIVE_BAD_TLS = 1024,      // a thread-local variable
  LIVE_BAD_MASK = 2048,     // the signal mask
  LIVE_BAD_RSEQ = 4096,     // a restartable sequence went on after it was interrupted
};

// The latest reading of one thread. sequence is odd while it is being written.
struct live_sample {
  uint64_t sequence;
  int64_t mono_ns;  // read first: the others are not older
  int64_t realtime_ns;
  int64_t gettimeofday_ns;
  int64_t time_s;
};

struct live_report {
  uint64_t ready;  // 1 once the target runs its loop
  uint64_t rounds;
  uint64_t bad;  // rounds in which something was wrong
  uint64_t bad_bits;
  // System calls (registers.c).
  uint64_t interrupted;  // EINTR that nobody caused
  uint64_t bad_results;
  int64_t last_bad_result;
  uint64_t late;  // calls that took more than 2 s longer than asked for
  int64_t max_late_us;
  // Signals of a 1 kHz timer: 1 plus the overruns of each, and how many are missing up to now.
  uint64_t ticks;
  int64_t tick_deficit;
  uint64_t handlers;
  uint64_t aborted;       // restartable sequences that were aborted, as they must be
  uint64_t threads_made;  // up to now
  // Written by the test: realtime minus monotonic of the host may be off by one of these. Count 0:
  // wall clock readings are not checked.
  uint64_t allowed_count;
  int64_t allowed_ns[LIVE_OFFSETS];
  int64_t base_ns;  // realtime - monotonic, as the target's first raw system calls had it
  struct live_sample samples[LIVE_SLOTS];
};
