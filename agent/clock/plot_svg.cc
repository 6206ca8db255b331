// The drawing as SVG: what is shown against real time above, how far it is ahead below.
#include <fmt/format.h>

#include <algorithm>

#include "agent/clock/duration.h"
#include "agent/clock/plot.h"

namespace time_chaos::clock {
namespace {

using std::chrono::nanoseconds;

constexpr double kLeft = 190;
constexpr double kWidth = 680;
constexpr double kPanel = 200;
constexpr double kUpper = 50;
constexpr double kLower = 310;

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string write(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>)"
                     "\n",
                     x, y, anchor, escaped(text));
}

// A panel whose values go from low to high.
class Panel {
 public:
  Panel(double top, nanoseconds low, nanoseconds high) : top_(top), low_(low), high_(high) {
    if (low_ == high_) high_ += nanoseconds(1);
  }
  [[nodiscard]] double y(nanoseconds value) const {
    const auto range = static_cast<double>(high_.count()) - static_cast<double>(low_.count());
    const auto from_top = static_cast<double>(high_.count()) - static_cast<double>(value.count());
    return top_ + kPanel * from_top / range;
  }
  [[nodiscard]] std::string frame(const std::string& high, const std::string& low) const {
    return fmt::format(R"(<rect x="{}" y="{}" width="{}" height="{}" fill="none" stroke="#888"/>)"
                       "\n",
                       kLeft, top_, kWidth, kPanel) +
           write(kLeft - 6, top_ + 10, "end", high) + write(kLeft - 6, top_ + kPanel, "end", low);
  }

 private:
  double top_;
  nanoseconds low_;
  nanoseconds high_;
};

std::string path(const std::string& points, const char* style) {
  return fmt::format(R"(<path d="{}" fill="none" {}/>)"
                     "\n",
                     points, style);
}

}  // namespace

std::string svg(const Plot& plot) {
  const Reading start = plot.columns.front().real;
  nanoseconds lowest{0};
  nanoseconds highest = plot.span;
  const Scale scale = scale_of(plot);
  for (const Column& column : plot.columns) {
    lowest = std::min(lowest, minus(column.real, start) + column.low);
    highest = std::max(highest, minus(column.real, start) + column.high);
  }
  const Panel upper(kUpper, lowest, highest);
  const Panel lower(kLower, scale.low, scale.high);
  const auto x = [&](size_t i) {
    return kLeft + kWidth * static_cast<double>(i) / static_cast<double>(plot.columns.size());
  };
  std::string shown;
  std::string ahead;
  for (size_t i = 0; i < plot.columns.size(); i++) {
    const Column& column = plot.columns[i];
    const nanoseconds real = minus(column.real, start);
    const nanoseconds first = minus(column.shown, column.real);
    // From where it is, over the most and the least that it comes to.
    for (const nanoseconds value : {first, column.high, column.low}) {
      shown +=
          fmt::format("{}{:.1f} {:.1f}", shown.empty() ? "M" : " L", x(i), upper.y(real + value));
      ahead += fmt::format("{}{:.1f} {:.1f}", ahead.empty() ? "M" : " L", x(i), lower.y(value));
    }
  }
  std::string text =
      R"(<svg xmlns="http://www.w3.org/2000/svg" width="900" height="560" viewBox="0 0 900 560" )"
      R"(font-family="sans-serif" font-size="12">)"
      "\n"
      R"(<rect width="900" height="560" fill="#fff"/>)"
      "\n";
  text += write(kLeft, 24, "start", plot.title);
  text += write(kLeft, kUpper - 6, "start", "shown (line) and real time (dashes)");
  text +=
      upper.frame(label(plot.clock, plus(start, highest)), label(plot.clock, plus(start, lowest)));
  text += path(fmt::format("M{:.1f} {:.1f} L{:.1f} {:.1f}", x(0), upper.y(nanoseconds(0)),
                           x(plot.columns.size()), upper.y(plot.span)),
               R"(stroke="#888" stroke-dasharray="6 4")");
  text += path(shown, R"(stroke="#c03028" stroke-width="1.5")");
  text += write(kLeft, kLower - 6, "start", scale_words(scale));
  text +=
      lower.frame(format_offset(scale.high - scale.base), format_offset(scale.low - scale.base));
  text += path(fmt::format("M{:.1f} {:.1f} L{:.1f} {:.1f}", x(0), lower.y(scale.base),
                           x(plot.columns.size()), lower.y(scale.base)),
               R"(stroke="#888" stroke-dasharray="6 4")");
  text += path(ahead, R"(stroke="#c03028" stroke-width="1.5")");
  text += write(kLeft, kLower + kPanel + 18, "start", label(plot.clock, start));
  text += write(kLeft + kWidth, kLower + kPanel + 18, "end",
                "real time, after " + format_duration(plot.span));
  return text + "</svg>\n";
}

}  // namespace time_chaos::clock
