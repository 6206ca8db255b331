// The clock page of a target whose descendants are followed: readable as long as anybody is, also
// when the target itself has ended or has become another program.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "agent/base/error.h"
#include "agent/clock/course.h"
#include "agent/clock/map_plan.h"
#include "agent/experiment/change.h"
#include "agent/vdso/clock_page.h"
#include "agent/vdso/find.h"

namespace time_chaos::experiment {

class FollowedPage {
 public:
  static Result<std::shared_ptr<FollowedPage>> open(pid_t pid, const vdso::Found& found);

  // From any thread.
  Result<tc_clock_page> read();
  Result<clock::ClockMaps> maps();  // in force
  // Gives the maps `lease` from now on.
  Status renew(std::optional<std::chrono::nanoseconds> lease, const clock::Programs& programs);
  Result<Changed> change(const clock::ClockSpec& spec);
  // Shows real time again, as far as it may (vdso::put_clocks_back).
  Status put_clocks_back();

 private:
  FollowedPage(vdso::ClockPage page, const vdso::Found& found)
      : page_(std::move(page)), last_(found.page), identity_(found.page_identity) {}
  // The page could not be read: the same page in a forked child, else a copy of our own, which
  // other commands find in our memory.
  Status move();

  std::mutex mutex_;
  vdso::ClockPage page_;
  tc_clock_page last_;
  std::string identity_;
  bool own_ = false;
};

}  // namespace time_chaos::experiment
