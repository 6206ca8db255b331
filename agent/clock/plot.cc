#include "agent/clock/plot.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/clock/course.h"
#include "agent/clock/date.h"
#include "agent/clock/duration.h"

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kShortest = std::chrono::microseconds(1);
constexpr nanoseconds kLongest = std::chrono::hours(24 * 365 * 100);
// Looked at in a column, besides what shown_between() looks at.
constexpr int64_t kLooks = 16;
constexpr size_t kLabelWidth = 16;

// What the agent would have filled the page with by then.
class Fed {
 public:
  explicit Fed(const MapPlan& plan) : plan_(plan), maps_(plan.maps) {}
  const ClockMaps& at(int64_t t) {
    if (plan_.program && due_ && t >= *due_) {
      maps_.table = refilled(*plan_.program, t, maps_.table);
      due_ = plan_.program->refill_after(t);
    }
    return maps_;
  }

 private:
  const MapPlan& plan_;
  ClockMaps maps_;
  std::optional<int64_t> due_ =
      plan_.program ? plan_.program->refill_after(0) : std::optional<int64_t>();
};

// A duration with no more digits than a label has room for.
std::string short_offset(nanoseconds offset) {
  const int64_t size = std::abs(offset.count());
  int64_t step = 1;
  while (step < size / 100'000) step *= 10;
  return format_offset(nanoseconds(offset.count() / step * step));
}

}  // namespace

Scale scale_of(const Plot& plot) {
  const Column& first = plot.columns.front();
  Scale scale{first.low, first.high, nanoseconds(0)};
  for (const Column& column : plot.columns) {
    scale.low = std::min(scale.low, column.low);
    scale.high = std::max(scale.high, column.high);
  }
  const nanoseconds range = scale.high - scale.low;
  const nanoseconds away = std::max(scale.low, -scale.high);
  if (range > nanoseconds(0) && away / 4 > range) {
    scale.base = minus(first.shown, first.real);
    return scale;
  }
  scale.low = std::min(scale.low, nanoseconds(0));
  scale.high = std::max(scale.high, nanoseconds(0));
  if (scale.low == scale.high) scale.high += nanoseconds(1);
  return scale;
}

std::string scale_words(const Scale& scale) {
  if (scale.base == nanoseconds(0)) return "how far it is ahead of real time";
  return "how far it is ahead of real time and " + short_offset(scale.base);
}

std::string label(int clock, Reading reading) {
  if (!is_monotonic(clock)) return format_date({reading.sec, reading.nsec / 1'000'000 * 1'000'000});
  return fmt::format("{}.{:03}s", reading.sec, reading.nsec / 1'000'000);
}

nanoseconds span_of(const ClockSpec& spec, const MapPlan& plan) {
  const tc_clock_table& table = plan.maps.table;
  nanoseconds span = std::chrono::minutes(1);
  uint64_t last = 0;
  for (const tc_segment& segment : table.segments) {
    if (segment.at != TC_NO_SEGMENT) last = std::max(last, segment.at);
  }
  if (spec.has_course() && table.period != 0) {
    span = nanoseconds(static_cast<int64_t>(table.loop_at + 3 * table.period));
  } else if (spec.has_course() && last != 0) {
    span = nanoseconds(static_cast<int64_t>(last + last / 4));
  } else if (spec.jitter) {
    span = nanoseconds((int64_t{1} << table.jitter_shift) * 16);
  }
  // Not to the last nanosecond.
  int64_t step = 1;
  while (step < span.count() / 100) step *= 10;
  span = nanoseconds((span.count() + step - 1) / step * step);
  return std::clamp(span, kShortest, kLongest);
}

Plot sample(const PlotRequest& request, size_t columns) {
  Plot plot;
  plot.title = request.title;
  plot.clock = request.clock;
  plot.span = request.span;
  Fed fed(*request.plan);
  const auto count = static_cast<int64_t>(columns);
  // Without overflow: a span of a century times the number of columns does not fit.
  const auto moment = [&](int64_t part, int64_t parts) {
    const int64_t span = request.span.count();
    return span / parts * part + span % parts * part / parts;
  };
  for (int64_t i = 0; i <= count; i++) {
    Column column;
    column.after = nanoseconds(moment(i, count));
    column.real = plus(request.real, column.after);
    const ClockMaps& maps = fed.at(column.after.count());
    column.shown = apply(maps, request.clock, column.real);
    column.low = column.high = minus(column.shown, column.real);
    if (i == count) {
      plot.end = column;
      break;
    }
    for (int64_t look = 1; look <= kLooks; look++) {
      const Reading real =
          plus(request.real, nanoseconds(moment(i * kLooks + look, count * kLooks)));
      const nanoseconds ahead = shift_at(maps, request.clock, real);
      column.low = std::min(column.low, ahead);
      column.high = std::max(column.high, ahead);
    }
    plot.columns.push_back(column);
  }
  return plot;
}

std::string draw(const Plot& plot, size_t width, size_t height) {
  const Scale scale = scale_of(plot);
  const size_t rows = std::max<size_t>(height, 6) - 4;
  const size_t columns = plot.columns.size();
  const double range = static_cast<double>((scale.high - scale.low).count());
  const auto row_of = [&](nanoseconds ahead) {
    const double part = static_cast<double>((scale.high - ahead).count()) / range;
    return static_cast<size_t>(part * static_cast<double>(rows - 1) + 0.5);
  };
  std::vector<std::string> lines(rows, std::string(columns, ' '));
  lines[row_of(scale.base)].assign(columns, '.');
  for (size_t i = 0; i < columns; i++) {
    for (size_t row = row_of(plot.columns[i].high); row <= row_of(plot.columns[i].low); row++) {
      lines[row][i] = '*';
    }
  }
  std::string text = fmt::format("{}: {}\n", plot.title, scale_words(scale));
  for (size_t row = 0; row < rows; row++) {
    std::string mark;
    if (row == 0) mark = short_offset(scale.high - scale.base);
    if (row == rows - 1) mark = short_offset(scale.low - scale.base);
    if (row == row_of(scale.base)) mark = "+0s";
    text += fmt::format("{:>{}} |{}\n", mark, kLabelWidth - 2, lines[row]);
  }
  text += fmt::format("{:>{}}+{:->{}}\n", "", kLabelWidth - 1, "", columns);
  const std::string end = "after " + format_duration(plot.span);
  const size_t room = std::max(width, kLabelWidth + 8) - kLabelWidth;
  text += fmt::format("{:>{}}0{:>{}}\n", "", kLabelWidth, end, std::max(room, end.size() + 2) - 1);
  const Column& first = plot.columns.front();
  text += fmt::format("at first it shows {}, real {}; then {}, real {}",
                      label(plot.clock, first.shown), label(plot.clock, first.real),
                      label(plot.clock, plot.end.shown), label(plot.clock, plot.end.real));
  return text;
}

}  // namespace time_chaos::clock
