// The bar that shows, in a terminal, how long an experiment still runs.
#pragma once

#include <chrono>
#include <string>

namespace time_chaos::cli {

class Progress {
 public:
  // "recovers in 9m41s [#######       ] Ctrl-C recovers now"
  static std::string line(std::chrono::nanoseconds left, std::chrono::nanoseconds whole);
  void draw(std::chrono::nanoseconds left, std::chrono::nanoseconds whole);
  void clear();  // takes the bar off the screen, if one is drawn

 private:
  bool drawn_ = false;
};

}  // namespace time_chaos::cli
