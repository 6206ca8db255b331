// Sends one thread of a target through a stub, and waits until it is back.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "agent/base/error.h"
#include "agent/payload/layout.h"
#include "agent/tracee/memory.h"
#include "agent/tracee/seized_thread.h"
#include "agent/vdso/stub.h"

namespace time_chaos::vdso {

// Where stubs stand: the zero bytes at the end of the vDSO.
struct StubPlace {
  uint64_t address = 0;
  uint64_t size = 0;
};

struct StubJob {
  StubPlace place;
  payload::StubHeader header;
  // The calls that are still to be made: asked again after every attempt that a signal ended.
  std::function<std::vector<StubCall>()> remaining;
  // All calls have had their effect. Asked over and over, so it is quick.
  std::function<bool()> finished;
  // Called once while the thread is stopped, before anything is changed: the last look at what the
  // plan rests on.
  std::function<Status()> still_valid;
  bool suspend_seccomp = false;
};

struct StubRun {
  std::chrono::nanoseconds stopped{0};  // from the stop until the thread is home
  int attempts = 0;
};

// `thread` is seized and running. It is let go as soon as it is on its way, so that its signals
// take no detour through us; only one that must be followed, or whose seccomp filter is suspended,
// is kept until it is home. kFailed with the name of the call that did not do what it should; the
// thread is home then, too. kNoTarget when it ended.
Result<StubRun> run_stub(tracee::SeizedThread thread, tracee::Memory& memory, const StubJob& job);

// What can be told of it beforehand, filters above all: `thread`, seized and running, is stopped
// for a look at it and let go. Nothing is written. Errors as those of run_stub().
Status rehearse_stub(tracee::SeizedThread thread, tracee::Memory& memory, const StubJob& job);

// Zeroes the place. The caller has made sure that no thread is in it or will come back to it.
Status wipe_stub(tracee::Memory& memory, const StubPlace& place);

}  // namespace time_chaos::vdso
