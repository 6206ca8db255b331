// A schedule, worked out: straight lines, as a clock page's table holds them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/schedule.h"
#include "time_chaos/abi/clock_page.h"

namespace time_chaos::clock {

class Program {
 public:
  // `rate`: how the clock runs beside the schedule. `shown`: what it shows at the start, which
  // dates need. kUsage, naming the step by its time, for what the formula cannot show.
  static Result<Program> compile(const Schedule& schedule, int64_t rate, Reading shown);
  // A clock that only runs at `rate`.
  static Program line(int64_t rate);

  // The table from `t` on (nanoseconds since the start). All of the program where it fits, else as
  // much of it as does.
  [[nodiscard]] tc_clock_table table(int64_t t) const;
  // When the table that was made for `t` should be made anew, long before it ends. Nothing: never.
  [[nodiscard]] std::optional<int64_t> refill_after(int64_t t) const;

  // The first step back, if there is one: when, and how far. By 0: it runs backwards from there on.
  struct Backward {
    std::chrono::nanoseconds at{0};
    std::chrono::nanoseconds by{0};
  };
  [[nodiscard]] const std::optional<Backward>& backward() const { return backward_; }
  // The least that it shows in the first round, beside what it shows at the start.
  [[nodiscard]] int64_t lowest() const { return lowest_; }
  [[nodiscard]] int64_t fastest() const { return fastest_; }  // the largest rate, either way
  [[nodiscard]] bool whole() const { return lines_.size() <= TC_SEGMENT_COUNT; }
  // Tells its tables from those of others; 0 where there is nothing to be brought.
  [[nodiscard]] uint64_t feed() const { return feed_; }
  // The shortest time that half a table lasts.
  [[nodiscard]] std::chrono::nanoseconds half_table() const;

 private:
  friend class Compiler;
  // The line that is in force at t: which round, and which of lines_.
  struct Place {
    int64_t round = 0;
    size_t line = 0;
  };
  [[nodiscard]] Place place_of(int64_t t) const;
  [[nodiscard]] bool advance(Place& place) const;
  [[nodiscard]] tc_segment segment_at(Place place) const;
  // Where a table for t begins: one line earlier, for clocks that lag behind.
  [[nodiscard]] Place window_for(int64_t t) const;

  int64_t rate_ = TC_RATE_ONE;
  uint64_t feed_ = 0;
  std::vector<tc_segment> lines_;  // beside rate_
  size_t loop_line_ = 0;           // the first line of a round
  int64_t loop_at_ = 0;
  int64_t period_ = 0;
  int64_t gain_ = 0;
  std::optional<Backward> backward_;
  int64_t lowest_ = 0;
  int64_t fastest_ = 0;
};

}  // namespace time_chaos::clock
