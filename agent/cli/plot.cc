#include "agent/cli/plot.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

#include "agent/experiment/page_words.h"

namespace time_chaos::cli {
namespace {

constexpr size_t kHeight = 18;
constexpr size_t kLabels = 16;

size_t terminal_width() {
  winsize size{};
  if (::isatty(STDOUT_FILENO) == 0 || ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0) return 80;
  return std::clamp<size_t>(size.ws_col, 40, 200);
}

}  // namespace

clock::PlotRequest plot_request(const clock::ClockSpec& spec, const clock::MapPlan& plan,
                                const clock::HostReadings& now,
                                std::optional<std::chrono::nanoseconds> span) {
  clock::PlotRequest request;
  request.clock = experiment::first_clock(spec.clocks);
  request.title = fmt::format("{} {}", clock::clock_name(request.clock), clock::words(spec));
  request.plan = &plan;
  request.real = now[static_cast<size_t>(request.clock)];
  request.span = span.value_or(clock::span_of(spec, plan));
  return request;
}

std::string plot_text(const clock::PlotRequest& request) {
  const size_t width = terminal_width();
  return clock::draw(clock::sample(request, width - kLabels), width, kHeight);
}

}  // namespace time_chaos::cli
