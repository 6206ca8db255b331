// What a process that carries an experiment reads now, through each of its engines.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/experiment/carrier.h"
#include "agent/experiment/check.h"

namespace time_chaos::experiment {

class CarrierCheck {
 public:
  // Each engine that can be checked from outside; empty where none can: what ptrace shifts only the
  // agent sees that follows it. kFailed where a clock does not read as it should, kNoTarget where
  // the experiment has ended.
  Result<std::vector<Checked>> run(const Carrier& carrier);

 private:
  // All that stand at one place of a BPF engine read the same.
  std::map<std::pair<uint32_t, uint32_t>, Result<Checked>> places_;
};

// What `status` says of one.
struct Verdict {
  std::vector<Checked> seen;
  std::string why_not;  // empty: it was checked
  bool wrong = false;   // it was, and does not read as it should
};

}  // namespace time_chaos::experiment
