// The code that runs inside the mirror, and what it works on.
//
// The agent may have other threads, so between the fork and the end there are only system calls
// and memory that was prepared before: no allocation, no lock, no exit handlers. And once the
// child's own vDSO is replaced, libc's clock functions are not used either.
#pragma once

#include <cstdint>
#include <vector>

#include "agent/payload/layout.h"
#include "agent/vdso/mirror.h"
#include "agent/vdso/mirror_image.h"

namespace time_chaos::vdso {

enum class MirrorStep : int { kPages, kVvar, kVdso, kSandbox, kCalls, kDone };

// In memory shared with the agent, so that it shows how far a crashed mirror got. A page of zeros
// is a valid report.
struct MirrorReport {
  int step = 0;   // MirrorStep
  int error = 0;  // errno of the step, if it failed
  int call = 0;   // the clock id being read, then kCallGettimeofday, kCallTime
  Mirror mirror;
};
inline constexpr int kCallGettimeofday = TC_CLOCK_COUNT;
inline constexpr int kCallTime = TC_CLOCK_COUNT + 1;

struct MirrorMove {
  uint64_t from = 0;
  uint64_t to = 0;
  uint64_t size = 0;
};

struct MirrorJob {
  std::vector<payload::PageRange> shared;  // the agent's writable shared memory: not for the mirror
  std::vector<MirrorPiece> pieces;         // at the mirror's own addresses
  std::vector<MirrorMove> vvar;            // empty: the own vDSO stays where it is
  payload::PageRange vvar_place;           // where they go; free
  MirrorPiece vdso;
  uint64_t clock_gettime = 0;
  uint64_t gettimeofday = 0;
  uint64_t time = 0;  // 0: none
  MirrorReport* report = nullptr;
};

[[noreturn]] void run_mirror(const MirrorJob& job);

}  // namespace time_chaos::vdso
