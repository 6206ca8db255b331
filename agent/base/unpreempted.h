// For moments in which nobody may take the processor from us.
//
// While a BPF map is read or changed by a system call, the kernel keeps the BPF programs on that
// processor from running (bpf_disable_instrumentation, include/linux/bpf.h): not only for the
// caller, but for whoever runs there when the caller is preempted in it. A target's readings would
// be unshifted for a whole time slice (seen: 881 calls in a row, on 6.18). And of the threads of a
// stopped target the first that is let go would keep us from letting go the others.
#pragma once

#include <sched.h>

namespace time_chaos {

// From here to the end of its scope this thread runs before all ordinary ones. Needs CAP_SYS_NICE;
// without it nothing changes. Keep the scope short: nothing in it may wait.
class Unpreempted {
 public:
  Unpreempted();
  ~Unpreempted();
  Unpreempted(const Unpreempted&) = delete;
  Unpreempted& operator=(const Unpreempted&) = delete;
  Unpreempted(Unpreempted&&) = delete;
  Unpreempted& operator=(Unpreempted&&) = delete;

 private:
  int policy_;  // of before; -1: left as it was
  sched_param parameters_{};
};

}  // namespace time_chaos
