#include "agent/cli/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "agent/clock/duration.h"

namespace time_chaos::cli {

std::string Progress::line(std::chrono::nanoseconds left, std::chrono::nanoseconds whole) {
  constexpr int kWidth = 32;
  const double done = 1.0 - static_cast<double>(left.count()) / static_cast<double>(whole.count());
  const int filled = std::clamp(static_cast<int>(done * kWidth), 0, kWidth);
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(left);
  return fmt::format("recovers in {} [{:<{}}] Ctrl-C recovers now", clock::format_duration(seconds),
                     std::string(static_cast<size_t>(filled), '#'), kWidth);
}

void Progress::draw(std::chrono::nanoseconds left, std::chrono::nanoseconds whole) {
  fmt::print("\r\033[K{}", line(left, whole));
  std::fflush(stdout);
  drawn_ = true;
}

void Progress::clear() {
  if (!drawn_) return;
  fmt::print("\r\033[K");
  drawn_ = false;
}

}  // namespace time_chaos::cli
