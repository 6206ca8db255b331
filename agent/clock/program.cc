#include "agent/clock/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>

#include "agent/clock/duration.h"
#include "agent/clock/reading.h"

namespace time_chaos::clock {
namespace {

__extension__ using Wide = __int128;
using std::chrono::nanoseconds;

// Sums of a few of these stay within 64 bits.
constexpr int64_t kMost = int64_t{1} << 61;

Wide scaled(int64_t span, int64_t rate) {
  return (static_cast<Wide>(span) * rate) >> 32;
}

Error at_step(const Step& step, const std::string& why) {
  return Error(Exit::kUsage,
               fmt::format("the schedule's step at {} {}", format_duration(step.at), why),
               "keep within some years of its start");
}

}  // namespace

// Works in what a clock shows beside its own rate, as the table does.
class Compiler {
 public:
  Compiler(Program& program, int64_t rate, Reading shown)
      : program_(program), rate_(rate), shown_(shown) {
    begin_line(0, 0, 0);
  }

  Status add(const Step& step, int64_t later) {
    const int64_t at = step.at.count() + later;
    const Wide before = beside(at);
    Wide after = before;
    if (step.offset) after = step.offset->count();
    if (step.by) after += step.by->count();
    if (step.date) {
      after = static_cast<Wide>(step.date->sec - shown_.sec) * TC_NSEC_PER_SEC + step.date->nsec -
              shown_.nsec - scaled(at, rate_);
    }
    const Wide total = scaled(step.rate, rate_);
    if (after > kMost || after < -kMost || scaled(at, rate_) > kMost ||
        scaled(at, rate_) < -kMost) {
      return fail(at_step(step, "is out of reach: 64 bits of nanoseconds"));
    }
    if (after < before) note_backward(at, static_cast<int64_t>(before - after));
    if (total < 0) note_backward(at, 0);
    program_.lowest_ = std::min(program_.lowest_, static_cast<int64_t>(scaled(at, rate_) + after));
    begin_line(at, static_cast<int64_t>(after), static_cast<int64_t>(total - rate_));
    return {};
  }

  Status loop(const Schedule& schedule) {
    const int64_t from = schedule.loop->from.count();
    const int64_t end = schedule.loop->end.count();
    std::vector<Step> steps;
    bool offsets = false;
    bool dates = false;
    for (const Step& step : schedule.steps) {
      if (step.at < schedule.loop->from || step.at >= schedule.loop->end) continue;
      steps.push_back(step);
      offsets = offsets || step.offset;
      dates = dates || step.date;
    }
    if (offsets && dates) {
      return fail(Exit::kUsage, "what is repeated has both an offset and a date",
                  "give offsets or dates, or leave the repeat out");
    }
    if (end > kMost / 2) {
      return fail(Exit::kUsage, "the schedule repeats something after more than 36 years",
                  "repeat it sooner");
    }
    const int64_t period = end - from;
    const Wide at_end = beside(end);
    const tc_segment first = line_at(from);
    const Wide at_from = first.base + scaled(from - static_cast<int64_t>(first.at), first.rate);
    program_.loop_at_ = from;
    program_.gain_ = static_cast<int64_t>(dates ? -scaled(period, rate_) : Wide{0});
    const bool begins_anew =
        !steps.empty() && steps[0].at.count() == from && (steps[0].offset || steps[0].date);
    if (!offsets && !dates) {
      // In front of what happens at `from` itself.
      const Wide gain = at_end - value_before(from);
      if (gain > kMost || gain < -kMost) {
        return fail(Exit::kUsage, "what is repeated goes too far at a time", "repeat less of it");
      }
      program_.gain_ = static_cast<int64_t>(gain);
    }
    if ((offsets || dates) && !begins_anew) {
      // The first round begins elsewhere than all others: those start with the second.
      program_.loop_at_ = end;
      begin_line(end, static_cast<int64_t>(at_end), first.rate);
      for (const Step& step : steps) TC_CHECK(add(step, period));
    } else if (static_cast<int64_t>(first.at) != from) {
      insert_line({static_cast<uint64_t>(from), static_cast<int64_t>(at_from), first.rate});
    }
    program_.period_ = period;
    const auto at = std::find_if(
        program_.lines_.begin(), program_.lines_.end(),
        [&](const auto& l) { return static_cast<int64_t>(l.at) == program_.loop_at_; });
    program_.loop_line_ = static_cast<size_t>(at - program_.lines_.begin());
    const Wide next = at->base + program_.gain_;
    const Wide last = beside(program_.loop_at_ + period);
    if (next < last) {
      note_backward(program_.loop_at_ + period, static_cast<int64_t>(last - next));
    }
    return {};
  }

  void finish() {
    for (const tc_segment& line : program_.lines_) {
      const int64_t total = line.rate + rate_;
      program_.fastest_ = std::max(program_.fastest_, std::max(total, -total));
    }
    if (program_.whole()) return;
    std::random_device random;
    program_.feed_ = (uint64_t{random()} << 32 | random()) | 1;
  }

 private:
  void note_backward(int64_t at, int64_t by) {
    if (!program_.backward_) program_.backward_ = {nanoseconds(at), nanoseconds(by)};
  }

  void begin_line(int64_t at, int64_t base, int64_t rate) {
    auto& lines = program_.lines_;
    if (!lines.empty() && static_cast<int64_t>(lines.back().at) == at) {
      value_before_[at] = value_before(at);
      lines.back() = {static_cast<uint64_t>(at), base, rate};
    } else {
      if (!lines.empty()) value_before_[at] = beside(at);
      lines.push_back({static_cast<uint64_t>(at), base, rate});
    }
  }

  void insert_line(const tc_segment& line) {
    auto& lines = program_.lines_;
    const auto behind = std::find_if(lines.begin(), lines.end(),
                                     [&](const auto& other) { return other.at > line.at; });
    lines.insert(behind, line);
  }

  // What the last line that has begun by then leads to.
  [[nodiscard]] Wide beside(int64_t at) const {
    const tc_segment& line = program_.lines_.back();
    return line.base + scaled(at - static_cast<int64_t>(line.at), line.rate);
  }

  [[nodiscard]] tc_segment line_at(int64_t at) const {
    tc_segment found = program_.lines_.front();
    for (const tc_segment& line : program_.lines_) {
      if (static_cast<int64_t>(line.at) <= at) found = line;
    }
    return found;
  }

  [[nodiscard]] Wide value_before(int64_t at) const {
    const auto found = value_before_.find(at);
    if (found != value_before_.end()) return found->second;
    const tc_segment line = line_at(at);
    return line.base + scaled(at - static_cast<int64_t>(line.at), line.rate);
  }

  Program& program_;
  int64_t rate_;
  Reading shown_;
  std::map<int64_t, Wide> value_before_;
};

Result<Program> Program::compile(const Schedule& schedule, int64_t rate, Reading shown) {
  Program program;
  program.rate_ = rate;
  Compiler compiler(program, rate, shown);
  for (const Step& step : schedule.steps) {
    if (!schedule.loop || step.at < schedule.loop->end) TC_CHECK(compiler.add(step, 0));
  }
  if (schedule.loop) TC_CHECK(compiler.loop(schedule));
  compiler.finish();
  return program;
}

Program Program::line(int64_t rate) {
  Program program;
  program.rate_ = rate;
  Compiler compiler(program, rate, {});
  if (rate < 0) program.backward_ = Backward{};
  compiler.finish();
  return program;
}

tc_segment Program::segment_at(Place place) const {
  const tc_segment& line = lines_[place.line];
  // Rounds that are so far away are behind the horizon.
  const Wide at = Wide{line.at} + Wide{place.round} * period_;
  const Wide base = Wide{line.base} + Wide{place.round} * gain_;
  return {static_cast<uint64_t>(std::min<Wide>(at, INT64_MAX)),
          static_cast<int64_t>(std::clamp<Wide>(base, -kMost, kMost)), line.rate};
}

bool Program::advance(Place& place) const {
  if (++place.line < lines_.size()) return true;
  if (period_ == 0) return false;
  place.line = loop_line_;
  place.round++;
  return true;
}

Program::Place Program::place_of(int64_t t) const {
  Place place;
  if (period_ != 0 && t >= loop_at_) place.round = (t - loop_at_) / period_;
  if (place.round > 0) place.line = loop_line_;
  for (Place next = place; advance(next); place = next) {
    if (static_cast<int64_t>(segment_at(next).at) > t) break;
  }
  return place;
}

Program::Place Program::window_for(int64_t t) const {
  const Place now = place_of(std::max<int64_t>(t, 0));
  if (now.line > (now.round > 0 ? loop_line_ : 0)) return {now.round, now.line - 1};
  if (now.round == 0) return now;
  return now.round == 1 ? Place{0, lines_.size() - 1} : Place{now.round - 1, lines_.size() - 1};
}

tc_clock_table Program::table(int64_t t) const {
  tc_clock_table table{};
  for (tc_segment& segment : table.segments) segment.at = TC_NO_SEGMENT;
  table.feed = feed_;
  Place place = whole() ? Place{} : window_for(t);
  size_t count = 0;
  do {
    table.segments[count++] = segment_at(place);
    if (whole() && place.line + 1 == lines_.size()) break;
  } while (count < TC_SEGMENT_COUNT && advance(place));
  if (whole()) {
    table.loop_at = static_cast<uint64_t>(loop_at_);
    table.period = static_cast<uint64_t>(period_);
    table.gain = gain_;
  }
  // Up to there neither the clock's own rate nor what is beside it leaves its part of 64 bits.
  Wide horizon = kMost;
  const auto hold = [&](int64_t from, int64_t base, int64_t rate) {
    if (rate == 0) return;
    const Wide room = kMost - std::abs(base);
    horizon = std::min(horizon, from + ((room << 32) / std::abs(rate)));
  };
  hold(0, 0, rate_);
  if (table.period == 0) {
    const tc_segment& last = table.segments[count - 1];
    hold(static_cast<int64_t>(last.at), last.base, last.rate);
  } else if (gain_ != 0) {
    horizon = std::min(horizon, loop_at_ + Wide{kMost} / std::abs(gain_) * period_);
  }
  table.horizon = static_cast<uint64_t>(std::max<Wide>(horizon, 0));
  return table;
}

std::chrono::nanoseconds Program::half_table() const {
  nanoseconds least = nanoseconds::max();
  if (whole()) return least;
  Place later;
  for (size_t i = 0; i < TC_SEGMENT_COUNT / 2; i++) (void)advance(later);
  // Through all lines, and once more through those of a loop.
  Place place;
  for (size_t i = 0; i < 2 * lines_.size(); i++) {
    least = std::min(least, nanoseconds(static_cast<int64_t>(segment_at(later).at) -
                                        static_cast<int64_t>(segment_at(place).at)));
    (void)advance(place);
    if (!advance(later)) break;
  }
  return least;
}

std::optional<int64_t> Program::refill_after(int64_t t) const {
  if (whole()) return std::nullopt;
  Place place = window_for(t);
  int64_t half = 0;
  for (size_t i = 0; i < TC_SEGMENT_COUNT; i++) {
    if (i == TC_SEGMENT_COUNT / 2) half = static_cast<int64_t>(segment_at(place).at);
    if (!advance(place)) return std::nullopt;  // the table goes to the end
  }
  return half;
}

}  // namespace time_chaos::clock
