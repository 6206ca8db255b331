// What happens to a clock in the course of an experiment: steps by the time since its start, some
// of which may come again and again.
#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/reading.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::clock {

// From `at` on the clock runs at `rate`, from where it is or from where it is put: at most one of
// offset, by and date.
struct Step {
  std::chrono::nanoseconds at{0};
  std::optional<std::chrono::nanoseconds> offset;  // from what it would show without the schedule
  std::optional<std::chrono::nanoseconds> by;      // from what it shows then
  std::optional<Reading> date;
  int64_t rate = TC_RATE_ONE;
};

struct Schedule {
  std::vector<Step> steps;  // in the order of `at`
  // From `end` on, what happened since `from` happens again, forever.
  struct Loop {
    std::chrono::nanoseconds from{0};
    std::chrono::nanoseconds end{0};
  };
  std::optional<Loop> loop;
};

struct Strobe {
  std::chrono::nanoseconds delta{0};
  std::chrono::nanoseconds period{0};
};
Schedule schedule_of(const Strobe& strobe);

enum class Leap { kInsert, kDelete, kSmear };
// The leap second at the end of the UTC day that a clock shows; smeared from the noon before to the
// noon after it. `shown`: at the start; the clock runs at `rate`, which is positive.
Schedule schedule_of(Leap leap, Reading shown, int64_t rate);

}  // namespace time_chaos::clock
