#include "agent/base/unpreempted.h"

namespace time_chaos {

Unpreempted::Unpreempted() : policy_(::sched_getscheduler(0)) {
  const int ordinary = policy_ & ~SCHED_RESET_ON_FORK;
  const bool may_be_preempted =
      ordinary == SCHED_OTHER || ordinary == SCHED_BATCH || ordinary == SCHED_IDLE;
  sched_param first{};
  first.sched_priority = 1;
  if (policy_ < 0 || !may_be_preempted || ::sched_getparam(0, &parameters_) != 0 ||
      ::sched_setscheduler(0, SCHED_FIFO, &first) != 0) {
    policy_ = -1;
  }
}

Unpreempted::~Unpreempted() {
  if (policy_ >= 0) (void)::sched_setscheduler(0, policy_, &parameters_);
}

}  // namespace time_chaos
