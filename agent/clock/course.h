// What happens to the clocks of a request beside their rate, ready for the page: its program, and
// the jitter on top.
#pragma once

#include <memory>
#include <vector>

#include "agent/base/error.h"
#include "agent/clock/clock_maps.h"
#include "agent/clock/clock_spec.h"
#include "agent/clock/program.h"

namespace time_chaos::clock {

class Course {
 public:
  // `shown`: CLOCK_REALTIME at the start. kUsage for what contradicts itself.
  static Result<Course> plan(const ClockSpec& spec, Reading shown);

  // There is nothing beside the rate.
  [[nodiscard]] bool is_line() const { return is_line_; }
  [[nodiscard]] const Program& program() const { return program_; }
  [[nodiscard]] tc_clock_table table() const { return with_jitter(program_.table(0)); }
  // The jitter is so fast that the clock steps back for moments.
  [[nodiscard]] bool jitters_back() const { return jitters_back_; }

 private:
  explicit Course(Program program) : program_(std::move(program)) {}
  Status set_jitter(const ClockSpec& spec);
  [[nodiscard]] tc_clock_table with_jitter(tc_clock_table table) const;

  Program program_;
  bool is_line_ = true;
  uint64_t seed_ = 0;
  int64_t span_ = 0;
  uint64_t shift_ = 0;
  bool jitters_back_ = false;
};

// Those of an agent's targets.
using Programs = std::vector<std::shared_ptr<const Program>>;

// The maps of an experiment on `clocks` with a new lease (nothing: their end stays) and, where they
// have a part of one of these programs, with the part for now.
ClockMaps renewed(ClockMaps maps, ClockSet clocks, const HostReadings& now,
                  std::optional<std::chrono::nanoseconds> lease, const Programs& programs);

// The table of a program for `t`, with the jitter of the table before it (which has the program's
// feed()).
tc_clock_table refilled(const Program& program, int64_t t, const tc_clock_table& before);

}  // namespace time_chaos::clock
