// A torture target (hot, churn, registers, rseqloop) with the report it shares with the test.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/live/harness/child.h"
#include "tests/live/harness/readings.h"
#include "tests/live/harness/shared_file.h"
#include "tests/live/targets/report.h"

namespace time_chaos::live {

class Torture {
 public:
  // `arguments` come before the report's path, `after` behind it: start("hot", {"8"}, {"timer"}).
  // Waits until it runs its loop. kUnsupported when the target says so.
  static Result<Torture> start(const std::string& name, const std::vector<std::string>& arguments,
                               const std::vector<std::string>& after = {});

  [[nodiscard]] Child& child() { return child_; }
  [[nodiscard]] pid_t pid() const { return child_.pid(); }
  [[nodiscard]] live_report& report() const { return *report_.get(); }

  // Wall clock readings may be off by these (the target checks every one). None: not checked.
  void allow(const std::vector<Nanoseconds>& offsets);
  // A reading that some thread made at or after `since`, at most `timeout` from now: off by what?
  // Error: no thread made one (it hangs or is dead), or its three clocks do not agree.
  Result<Nanoseconds> fresh_shift(int64_t since, Milliseconds timeout = Milliseconds{5000});
  // It makes `rounds` more rounds. kFailed when it does not, or has died.
  Status progress(uint64_t rounds, Milliseconds timeout = Milliseconds{5000});
  // Nothing bad was reported up to now.
  Status healthy();
  // From here on EINTR is not bad: an agent that is killed between stopping a thread and putting it
  // back cannot hide the EINTR of calls that the kernel does not restart (DESIGN §4, EINTR).
  void tolerate_interruptions() { interruptions_tolerated_ = true; }
  // The fewest ticks that are missing in any signal of the next 300 ms: 0, unless one was lost.
  int64_t lost_ticks();

 private:
  Torture(Child child, SharedFile<live_report> report)
      : child_(std::move(child)), report_(std::move(report)) {}
  Child child_;
  SharedFile<live_report> report_;
  bool interruptions_tolerated_ = false;
};

}  // namespace time_chaos::live
