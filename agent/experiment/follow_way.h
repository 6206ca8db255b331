// How those are found who come under a name or into a control group later: said by the agent when
// it begins, and by `status`, which reads it from the agent while that lives.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "agent/base/scoped_fd.h"
#include "agent/targets/arrivals.h"

namespace time_chaos::experiment {

struct FollowWay {
  std::string selector;  // "--name payments"
  enum class How { kBpf, kEvents, kLooks } how = How::kLooks;
  std::string why;          // kLooks: why not by events
  bool moved_into = false;  // a control group, into which processes can be moved
  std::chrono::milliseconds period = targets::Arrivals::kPeriod;  // of looks
};

// "by bpf, from the first instruction on"
std::string text(const FollowWay& way);

// Readable for other commands as long as the descriptor, or this process, is there.
ScopedFd publish(const std::vector<FollowWay>& ways);
// What a living agent has published: a line for each selector. Empty: it follows nobody, or it is
// not for us to see.
std::vector<std::string> published(pid_t agent);

}  // namespace time_chaos::experiment
