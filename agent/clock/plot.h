// What a clock will show against real time, as a drawing: for the terminal and as SVG.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "agent/clock/map_plan.h"

namespace time_chaos::clock {

// What is to be drawn: the clock `clock` under `plan`, from the host's reading `real` on.
struct PlotRequest {
  std::string title;
  const MapPlan* plan = nullptr;
  int clock = 0;
  Reading real;
  std::chrono::nanoseconds span{0};
};

// A piece of that time: what is shown at its start, and how far that is ahead of real time at the
// least and at the most in the course of it.
struct Column {
  std::chrono::nanoseconds after{0};
  Reading real;
  Reading shown;
  std::chrono::nanoseconds low{0};
  std::chrono::nanoseconds high{0};
};

struct Plot {
  std::string title;
  int clock = 0;
  std::chrono::nanoseconds span{0};
  std::vector<Column> columns;
  Column end;  // what is shown when it is over
};

// As long as it takes to see what the clocks do.
std::chrono::nanoseconds span_of(const ClockSpec& spec, const MapPlan& plan);

Plot sample(const PlotRequest& request, size_t columns);

// From the least to the most that the clock is ahead, and 0, unless that is so far away that
// nothing could be seen then: `base` is what to count from.
struct Scale {
  std::chrono::nanoseconds low{0};
  std::chrono::nanoseconds high{0};
  std::chrono::nanoseconds base{0};
};
Scale scale_of(const Plot& plot);
// "how far it is ahead of real time", or of what.
std::string scale_words(const Scale& scale);

// So many characters wide and lines high, labels included; ASCII.
std::string draw(const Plot& plot, size_t width, size_t height);
// A whole SVG document.
std::string svg(const Plot& plot);

// "2030-01-01T00:00:00Z", or seconds for clocks that tell no date.
std::string label(int clock, Reading reading);

}  // namespace time_chaos::clock
